"""Encoders as `.keras` files, which Keras alone can load. Their contract lies in the same file; Keras ignores it."""

import json
import os
import zipfile

import keras

from ssl_keras import files
from ssl_keras.encoders.contract import Contract, of_model, shown_dtype
from ssl_keras.encoders.encoder import Encoder
from ssl_keras.errors import UserError

MEMBER = "ssl_keras.json"  # of the archive that a .keras file is
UNREADABLE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


def save_encoder(encoder: Encoder, path: str) -> None:
    """Writes a `.keras` file that `keras.saving.load_model` reads where this package is absent.

    Raises:
        UserError: something lies there that is no encoder of this package.
    """
    with files.replacing(path, is_encoder) as beside:
        encoder.model.save(beside)
        with zipfile.ZipFile(beside, "a") as archive:
            archive.writestr(MEMBER, json.dumps(encoder.contract.to_json(), indent=1))


def load_encoder(path: str, dtype: str | None = None) -> Encoder:
    """Reads an encoder from a `.keras` file.

    Args:
        dtype: the pixel type that the encoder expects, for a file that does not say it: neither by a contract, nor by
            its scaling of the input.

    Raises:
        UserError: there is none, or nothing shows which pixel values it expects.
    """
    if not os.path.isfile(path):
        raise UserError(f"no encoder at {path!r}: give an encoder.keras file, `random` or `pixels`")
    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise UserError(f"{path!r} is no Keras model that can be loaded: {str(error).splitlines()[0]}") from error
    if len(model.input_shape) != 4 or len(model.output_shape) != 2:
        raise UserError(
            f"{path!r} maps {model.input_shape} to {model.output_shape}; an encoder maps images [B, S, S, C] "
            "to features [B, D]"
        )
    _, height, width, channels = model.input_shape
    if height is None or height != width or channels is None:
        raise UserError(f"{path!r} takes images of {height} x {width} x {channels}: expected squares of a fixed size")
    contract = read_contract(path)
    if contract is None:
        dtype = shown_dtype(model) or dtype
        if dtype is None:
            raise UserError(
                f"{path!r} does not say which pixel values it expects: set --dtype=uint8 (0..255), uint16 (0..65535) "
                "or float32 (0..1)"
            )
        contract = of_model(model, dtype)
    return Encoder(model, contract)


def read_contract(path: str) -> Contract | None:
    """The contract in an encoder's file; None where there is none, as in files that plain Keras wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            return Contract.from_json(json.loads(archive.read(MEMBER)))
    except UNREADABLE:
        return None


def is_encoder(path: str) -> bool:
    """Whether a file is an encoder that this package wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))["config"]
        scales = any(layer["name"] == "input_scaling" for layer in config["layers"])
        return scales and config["name"].startswith("encoder")
    except UNREADABLE:
        return False
