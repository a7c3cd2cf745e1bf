"""Copies of networks, whoever wrote them."""

from collections.abc import Callable

import keras

from ssl_keras.errors import UserError


def remade(layer: keras.layers.Layer, **changed) -> keras.layers.Layer:
    """A layer of the same config, but for what is changed; an entry that its config lacks is left out."""
    config = layer.get_config()
    return type(layer).from_config({**config, **{name: changed[name] for name in changed.keys() & config.keys()}})


def clone(
    model: keras.Model,
    of_layer: Callable[[keras.layers.Layer], keras.layers.Layer] = remade,
    changes: Callable[[keras.layers.Layer], bool] = lambda layer: False,
) -> keras.Model:
    """A model of the same form with weights of its own, freshly drawn.

    A model with a `get_config` of its own, such as those of keras-hub, is made again from that, since its layers need
    not be. Keras's `clone_model` asks the layers.

    Args:
        model: functional or Sequential, possibly nested; or with a config of its own.
        of_layer: gives the copy of each layer that is no model.
        changes: whether `of_layer` gives another kind of layer: models that hold such a one are made layer by layer.

    Raises:
        UserError: a model that has neither layers that are known nor a config.
    """
    copies = {}

    def copy(layer):
        if id(layer) not in copies:
            copies[id(layer)] = make(layer)
        return copies[id(layer)]

    def make(layer):
        if not isinstance(layer, keras.Model):
            return of_layer(layer)
        if _has_own_config(layer) and not any(changes(part) for part in layer._flatten_layers()):
            return remade(layer)
        try:
            return keras.models.clone_model(layer, clone_function=copy)
        except ValueError as error:
            raise UserError(
                f"the model {layer.name} cannot be copied: make it a functional one, or give its class a get_config "
                f"({str(error).splitlines()[0]})"
            ) from error

    return copy(model)


def _has_own_config(model: keras.Model) -> bool:
    owner = next(kind for kind in type(model).__mro__ if "get_config" in vars(kind))
    return not owner.__module__.startswith("keras.")
