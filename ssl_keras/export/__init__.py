"""An encoder in formats that run without this package. One file for each format, found by name.

A file has `AS_FOLDER` and `ENDING`, what it writes; `is_ours(path)`, whether an earlier export lies there, which may be
replaced; `Options`, a dataclass whose fields are the flags --NAME_FIELD; and `write(encoder, path, options)`.
"""

from ssl_keras import files
from ssl_keras.errors import UserError
from ssl_keras.registry import Registry

REGISTRY = Registry(__name__, "format")


def check_output(path: str, form: str) -> None:
    """Sees that an encoder can be written to a path in a format, before work is done for it.

    Raises:
        UserError: the ending is wrong, or something lies there that no export wrote.
    """
    format_ = REGISTRY.load(form)
    if not path.endswith(format_.ENDING):
        raise UserError(f"--output must end in {format_.ENDING} for --format={form}, got {path!r}")
    files.refuse_foreign(path, format_.is_ours, as_folder=format_.AS_FOLDER)
