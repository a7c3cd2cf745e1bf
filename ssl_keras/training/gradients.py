"""The lengths of the gradients, part by part: where a network learns, and where it does not."""

import math

import keras


class GradientNorms(keras.callbacks.Callback):
    """Adds `gradient_norm/PART` to the epoch's logs: the length of that part's gradient at the epoch's last step.

    It is the gradient of the whole batch, before it is clipped. Parts are the backbone and the method's own: projector,
    predictor, prototypes, ...; optimizers that are not of this package do not tell it.
    """

    def on_train_begin(self, logs=None):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        self.squares = getattr(optimizer, "gradient_squares", None)
        numbers = {id(variable): number for number, variable in enumerate(self.model.trainable_variables)}
        self.parts: dict[str, list[int]] = {}
        for name, part in [("backbone", self.model.backbone), *((layer.name, layer) for layer in self.model.layers)]:
            own = [numbers.pop(id(v)) for v in part.trainable_variables if id(v) in numbers]  # some parts share theirs
            if own:
                self.parts[name] = own

    def on_epoch_end(self, epoch, logs=None):
        if self.squares is not None:
            squares = self.squares.numpy()
            for name, numbers in self.parts.items():
                logs[f"gradient_norm/{name}"] = math.sqrt(squares[numbers].sum())
