"""Models that are made again from the arguments of their constructor: what `save` and `load_model` need."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from ssl_keras.errors import UserError
from ssl_keras.methods import FACTS
from ssl_keras.nn import norm


class Configured(keras.Model):
    """A model whose config is the arguments of its constructor, models and layers among them.

    What its networks depend on beside the arguments is saved with them: Keras's dtype policy and `nn.norm`'s choice.
    """

    def __new__(cls, *args, **kwargs):
        model = super().__new__(cls, *args, **kwargs)
        signature = inspect.signature(cls.__init__)
        required = [name for name, p in signature.parameters.items() if p.default is p.empty and name in FACTS]
        if missing := [name for name in required if name not in kwargs]:
            needed = ", ".join(f"{name}=... ({FACTS[name]})" for name in missing)
            raise UserError(f"{cls.__name__} needs {needed}: give it by name to the constructor")
        try:
            bound = signature.bind(model, *args, **kwargs)
        except TypeError:
            return model  # the call of `__init__` raises the same
        # Past Keras's `__setattr__`, which would take the arguments for parts of the model; so would saving a dict.
        vars(model)["_bound"], vars(model)["_norm"] = bound, norm.choice()
        return model

    @property
    def arguments(self) -> dict:
        """The arguments of the constructor that were given, by name."""
        given = dict(list(self._bound.arguments.items())[1:])  # without self
        for name, parameter in self._bound.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= given.pop(name, {})
        return given

    def settle(self, name: str, value) -> None:
        """Replaces an argument by what it was taken for."""
        self._bound.arguments[name] = value

    def get_config(self) -> dict:
        config = {name: keras.saving.serialize_keras_object(value) for name, value in self.arguments.items()}
        return {**config, "dtype": keras.dtype_policies.serialize(self.dtype_policy), "norm": list(self._norm)}

    @classmethod
    def from_config(cls, config: dict):
        config = {name: keras.saving.deserialize_keras_object(value) for name, value in config.items()}
        policy, choice = config.pop("dtype"), config.pop("norm")
        with _global_policy(policy), norm.using(*choice):
            return cls(**config)


@contextmanager
def _global_policy(policy: keras.DTypePolicy) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
