"""`compile`, `fit` and `evaluate` as Keras has them, for models that write out their own `train_step` and loss."""

import keras
import tensorflow as tf

from ssl_keras import distribute, optim
from ssl_keras.errors import UserError
from ssl_keras.optim import held_parts
from ssl_keras.training import checks, inputs, loop


class Fitted(keras.Model):
    """A model whose `train_step` takes batches {"image", "size", "index", "label"} and has the loss in it.

    What its subclass says of its parts (`constant_lr`, `held`) and of its data (`needs_index`, ...) is kept.
    """

    tests = False  # whether the step at hand is one of `test_step`
    view_share = 1.0  # of their side that views have at present; a step is traced for each
    seconds_waited = 0.0  # for data, since training began

    def compile(self, optimizer="rmsprop", loss=None, *, jit_compile="auto", auto_scale_loss=True, **settings) -> None:
        """Says how to train: the loss is the method's own.

        Args:
            optimizer: a `keras.optimizers.Optimizer` or the name of one, such as "adam"; `optim.build_optimizer` makes
                those of the papers.
            jit_compile: whether XLA compiles whole steps; "auto": on a single GPU. On CPUs oneDNN is faster, and views
                compile themselves.
            auto_scale_loss: whether float16 (the dtype policy "mixed_float16") gets `optim.LossScale`.
            settings: `steps_per_execution` (steps between two looks at the loss) and `run_eagerly`, as in Keras.

        Raises:
            UserError: for a loss or metrics; see also `held_parts.respect`.
        """
        given = {"loss": loss, **settings}
        given = [k for k, v in given.items() if v is not None and k not in ("steps_per_execution", "run_eagerly")]
        if given:
            raise UserError(
                f"{type(self).__name__} has its own loss and metrics: leave {', '.join(given)} out of compile"
            )
        optimizer = keras.optimizers.get(optimizer)
        held_parts.respect(optimizer, self.constant_lr, self.held, type(self).__name__)
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16" and not hasattr(optimizer, "inner_optimizer"):
            optimizer = optim.LossScale(optimizer)
        one_gpu = distribute.num_replicas() == 1 and bool(tf.config.list_physical_devices("GPU"))
        compiles = one_gpu and not settings.get("run_eagerly") if jit_compile == "auto" else jit_compile
        super().compile(optimizer, jit_compile=compiles, auto_scale_loss=False, **settings)
        self._asked_jit_compile = jit_compile
        loop.forget(self)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> dict:
        return {**super().get_compile_config(), "jit_compile": self._asked_jit_compile} if self.compiled else {}

    def compile_from_config(self, config: dict) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        *,
        start_step=0,
        steps_per_execution=None,
        undo_nonfinite=False,
    ) -> keras.callbacks.History:
        """Trains, as Keras's `fit` does; batches are whole, so the images of a short last one are left out.

        Args:
            x, y, batch_size, shuffle, steps_per_epoch: data, see `inputs.training`.
            epochs, initial_epoch, verbose, callbacks: as in Keras. Random views go by the optimizer's steps.
            validation_data: images that are not trained on, in the same forms; (images, labels) for arrays. The logs
                then have `val_loss` and other means of `test_step`.
            validation_split: instead, the fraction of the arrays' last images that are held out.
            validation_steps, validation_batch_size, validation_freq: as in Keras.
            class_weight, sample_weight: refused: a loss here weighs all images alike.
            start_step, undo_nonfinite: see `loop.fit`.
            steps_per_execution: None: that of `compile`.

        Raises:
            UserError: data that do not fit the model, said before training where it can be known.
        """
        self._check_compiled("fit")
        inputs.refuse_weights(class_weight, sample_weight)
        if validation_split:
            x, y, validation_data = inputs.split(x, y, validation_split, validation_data)
        data = inputs.training(self, x, y, batch_size, shuffle, steps_per_epoch)
        callbacks = list(getattr(callbacks, "callbacks", None) or keras.tree.flatten(callbacks or []))
        held_parts.check_callbacks(callbacks, self.constant_lr, type(self).__name__)
        validate = None
        if validation_data is not None:
            held_out = inputs.held_out(self, *inputs.pair(validation_data), validation_batch_size or batch_size)
            test = loop.tester(self)

            def validate(epoch, following):
                if not self._should_eval(epoch, validation_freq):
                    return {}
                return {f"val_{name}": v for name, v in test(held_out, validation_steps, following).items()}

        with checks.explained():
            history = loop.fit(
                self,
                data.batches,
                epochs,
                data.steps,
                start_step=start_step or initial_epoch * (data.steps or 0),
                initial_epoch=initial_epoch,
                steps_per_execution=steps_per_execution or self.steps_per_execution,
                undo_nonfinite=undo_nonfinite,
                callbacks=callbacks,
                verbose=verbose,
                validate=validate,
            )
        self.optimizer.finalize_variable_values(self.trainable_variables)
        return history

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
    ):
        """The means of `test_step` over data, in the forms that `fit` takes; nothing of the model changes.

        Returns:
            {name: mean} with `return_dict`, else the means as a list, the loss first; a single one is given by itself.
        """
        self._check_compiled("evaluate")
        inputs.refuse_weights(None, sample_weight)
        following = keras.callbacks.CallbackList(
            callbacks, add_progbar=verbose != 0, verbose=verbose, model=self, epochs=1, steps=steps
        )
        with checks.explained():
            logs = loop.tester(self)(inputs.held_out(self, x, y, batch_size), steps, following)
        values = [logs.pop("loss"), *logs.values()] if not return_dict else logs
        return values[0] if not return_dict and len(values) == 1 else values

    def test_step(self, batch):
        """The logs of a `train_step` that is taken back: the loss of images that are not trained on.

        It is the loss that this batch has in training: batch normalization takes the batch's statistics, and views are
        drawn as in the optimizer's next step. But for the metrics, nothing is changed.
        """
        kept = [(v, tf.identity(tf.convert_to_tensor(v))) for v in self.variables]
        self.tests = True
        try:
            logs = self.train_step(batch)
        finally:
            self.tests = False
        for variable, value in kept:
            variable.assign(value)
        return logs

    def _check_compiled(self, name):
        if not self.compiled:
            raise UserError(f'{type(self).__name__} is not compiled: call compile("adam") before {name}')
