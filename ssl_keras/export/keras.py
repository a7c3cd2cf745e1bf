"""A .keras file: built-in Keras layers alone, raw pixel values in; Keras loads it where this package is absent."""

import dataclasses

from ssl_keras.encoders import file
from ssl_keras.encoders.encoder import Encoder

ENDING, AS_FOLDER = ".keras", False
is_ours = file.is_encoder


@dataclasses.dataclass(frozen=True)
class Options:
    """None."""


def write(encoder: Encoder, path: str, options: Options) -> None:
    """Writes the file; UserError as `encoders.file.save_encoder`."""
    file.save_encoder(encoder, path)
