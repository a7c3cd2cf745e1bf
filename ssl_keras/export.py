"""What leaves the house: the encoder alone, without this package.

`encoder.keras` uses built-in Keras layers only and takes raw pixel values. The SavedModel also decodes and resizes in
its graph, with the very ops that training used, so served features equal the run's.
"""

import json
import os
import zipfile

import keras
import tensorflow as tf

from ssl_keras import files
from ssl_keras.data import decode
from ssl_keras.errors import UserError
from ssl_keras.evals.features import input_dtype
from ssl_keras.nn.batch_norm import as_stock
from ssl_keras.views.layer import center_view

FORMATS = ("saved_model", "keras")
CONTENTS = "ssl_keras.json"  # of a SavedModel: the names of its files, by which a later export knows it


def build_encoder(backbone: keras.Model, dtype: str) -> keras.Model:
    """The model that is evaluated and shipped: raw pixels -> h.

    Args:
        backbone: float32 [B, S, S, C] in [0, 1] -> h [B, D].
        dtype: uint8 (pixels 0..255), uint16 (0..65535) or float32 (0..1): the range of the encoder's float32 input.
    """
    backbone = as_stock(backbone)
    images = keras.Input(backbone.input_shape[1:], dtype="float32", name="images")
    scaled = keras.layers.Rescaling(1.0 / decode.MAXIMUM[dtype], dtype="float32", name="input_scaling")(images)
    return keras.Model(images, backbone(scaled), name="encoder")


def check_output(path: str, form: str) -> None:
    """Sees that an encoder can be written to a path in one of `FORMATS`, before work is done for it.

    Raises:
        UserError: the ending is wrong, or something lies there that no export wrote.
    """
    if form == "keras" and not path.endswith(".keras"):
        raise UserError(f"--output must end in .keras for --format=keras, got {path!r}")
    is_ours = {"keras": is_encoder, "saved_model": is_saved_model}[form]
    files.refuse_foreign(path, is_ours, as_folder=form == "saved_model")


def is_encoder(path: str) -> bool:
    """Whether a file is an `encoder.keras` that this package wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))["config"]
        scales = any(layer["name"] == "input_scaling" for layer in config["layers"])
        return scales and config["name"].startswith("encoder")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return False


def is_saved_model(path: str) -> bool:
    """Whether a folder is a SavedModel that this package wrote, and holds nothing else."""
    try:
        written = set(files.read_json(os.path.join(path, CONTENTS))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return set(_files_below(path)) <= {CONTENTS, *written}


def _files_below(folder: str) -> list[str]:
    """All that lies below a folder but folders, as paths relative to it; folders that are links are files here."""
    found = []
    for where, folders, names in os.walk(folder):
        names += [name for name in folders if os.path.islink(os.path.join(where, name))]
        found += [os.path.relpath(os.path.join(where, name), folder).replace(os.sep, "/") for name in names]
    return found


def save_keras(encoder: keras.Model, path: str) -> None:
    """Writes a `.keras` file that `keras.saving.load_model` reads where this package is absent.

    Raises:
        UserError: as `check_output`.
    """
    check_output(path, "keras")
    with files.replacing(path, is_encoder) as beside:
        encoder.save(beside)


def load_encoder(path: str) -> keras.Model:
    """Reads an `encoder.keras`; UserError where it is none."""
    if not os.path.isfile(path):
        raise UserError(f"no encoder at {path!r}: give an encoder.keras file, `random` or `pixels`")
    try:
        encoder = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise UserError(f"{path!r} is no Keras model that can be loaded: {str(error).splitlines()[0]}") from error
    if len(encoder.input_shape) != 4 or len(encoder.output_shape) != 2:
        raise UserError(
            f"{path!r} maps {encoder.input_shape} to {encoder.output_shape}; an encoder maps images [B, S, S, C] "
            "to features [B, D]"
        )
    return encoder


def save_saved_model(encoder: keras.Model, canvas_size: int, path: str) -> None:
    """Writes a SavedModel with two signatures, both returning {"features": float32 [B, D]}; no rows for an empty batch.

    `serving_default`: `image_bytes`, string [B], encoded files of any sizes as `decode.decode` reads them: JPEG, PNG,
    GIF, true-color BMP, still WebP. A file that it does not read is an InvalidArgumentError for the whole request.
    `images`: `images` [B, H, W, C], already decoded, of the encoder's pixel type (uint8, uint16, or float32 from 0 to
    1); squashed to the canvas as files are.

    Encoders of other than 1 or 3 channels have no files to decode: both names are the signature `images`.

    Raises:
        UserError: as `check_output`.
    """
    dtype, (_, size, _, channels) = input_dtype(encoder), encoder.input_shape
    maximum = decode.MAXIMUM[dtype]

    canvas = tf.TensorSpec([canvas_size, canvas_size, channels], dtype)

    def features_by(to_image):
        """A function of a batch of files or of decoded images."""

        def serve(items):
            canvases = tf.map_fn(
                lambda item: decode.to_canvas(to_image(item, channels, dtype), canvas_size),
                items,
                fn_output_signature=canvas,
            )
            # One row at least: TensorFlow's convolutions fail on none.
            rows = tf.shape(canvases)[0]
            canvases = tf.pad(canvases, [[0, tf.maximum(1 - rows, 0)], [0, 0], [0, 0], [0, 0]])
            return {"features": encoder(center_view(canvases, size) * maximum, training=False)[:rows]}

        return serve

    images = features_by(decode.from_array), [tf.TensorSpec([None, None, None, channels], dtype, name="images")]
    encoded = features_by(decode.decode), [tf.TensorSpec([None], tf.string, name="image_bytes")]
    archive = keras.export.ExportArchive()
    archive.track(encoder)
    archive.add_endpoint("serving_default", *(encoded if channels in decode.CHANNELS else images))
    archive.add_endpoint("images", *images)
    with files.replacing(path, is_saved_model, as_folder=True) as beside:
        archive.write_out(beside, verbose=False)
        files.write_json(os.path.join(beside, CONTENTS), {"files": sorted(_files_below(beside))})
