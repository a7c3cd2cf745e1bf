"""`NAME=VALUE` on the command line -> keywords with values."""

import ast
import inspect

from ssl_keras import methods
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.words import nearest


def method_arguments(config: Config, method_class: type) -> dict:
    """`--method_arg=name=value` as keywords, checked against the method's constructor and its annotations."""
    known = {
        name: p
        for name, p in inspect.signature(method_class.__init__).parameters.items()
        if p.kind is p.KEYWORD_ONLY and name not in methods.FACTS
    }
    arguments = {}
    for item in config.method_arg:
        name, equals, text = item.partition("=")
        if not equals or name not in known:
            listing = ", ".join(f"{n} ({p.default!r})" for n, p in known.items()) or "none"
            raise UserError(
                f"--method_arg={item}: {config.method} has no argument {name!r}{nearest(name, known)}; known, with "
                f"defaults: {listing}"
                if equals
                else f"--method_arg={item} must have the form NAME=VALUE; known: {listing}"
            )
        arguments[name] = literal(text, known[name].annotation, f"--method_arg={item}")
    return arguments


def literal(text: str, kind: type, where: str):
    try:
        value = text if kind is str else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind is float and type(value) is int:
        value = float(value)
    if kind in (int, float, bool, str) and type(value) is not kind:
        raise UserError(f"{where}: expected {kind.__name__}, got {text!r}")
    return value
