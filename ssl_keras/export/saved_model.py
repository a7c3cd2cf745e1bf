"""A SavedModel that decodes and resizes in its graph, by the operations that training used: features are the run's."""

import dataclasses
import os

import keras
import tensorflow as tf

from ssl_keras import files
from ssl_keras.data.canvases import pipeline
from ssl_keras.data.formats.decode import CHANNELS, MAXIMUM
from ssl_keras.encoders.encoder import Encoder
from ssl_keras.errors import UserError
from ssl_keras.views.layer import CROPS, center_view, crop_of

ENDING, AS_FOLDER = "", True
CONTENTS = "ssl_keras.json"  # the names of its files, by which a later export knows it, and the encoder's contract


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the SavedModel.

    Args:
        canvas_size: side in pixels to which images are resized when they are decoded; unset: as when it was trained
        crop: how images that are no squares become one: center (the central square, in their own proportions) or squash
    """

    canvas_size: int | None = None
    crop: str = "center"

    def __post_init__(self):
        if self.canvas_size is not None and self.canvas_size < 1:
            raise UserError(f"--saved_model_canvas_size must be at least 1, got {self.canvas_size}")
        if self.crop not in CROPS:
            raise UserError(f"--saved_model_crop={self.crop}: expected one of {', '.join(CROPS)}")


def write(encoder: Encoder, path: str, options: Options) -> None:
    """Writes a SavedModel with two signatures, both returning {"features": float32 [B, D]}; no rows for an empty batch.

    `serving_default`: `image_bytes`, string [B], encoded files of any sizes as `decode.decode` reads them: JPEG, PNG,
    GIF, true-color BMP, still WebP. A file that it does not read is an InvalidArgumentError for the whole request.
    `images`: `images` [B, H, W, C], already decoded, of the encoder's pixel type (uint8, uint16, or float32 from 0 to
    1); brought to a square as files are.

    Encoders of other than 1 or 3 channels have no files to decode: both names are the signature `images`.

    Raises:
        UserError: something lies there that no export wrote; or nothing says to which size images are squashed.
    """
    dtype, size, channels = encoder.contract.dtype, encoder.contract.size, encoder.contract.channels
    canvas_size = options.canvas_size or encoder.contract.canvas_size
    if canvas_size is None:
        raise UserError(
            f"the encoder does not say to which side its images were squashed: set --saved_model_canvas_size, such as "
            f"{size}"
        )
    spec = pipeline.CanvasSpec.of(canvas_size, channels, dtype, encoder.contract.values)
    canvas = tf.TensorSpec(spec.shape, spec.dtype), tf.TensorSpec([2], tf.float32)
    crop = crop_of(options.crop, canvas_size, size)

    def features_by(to_image):
        """A function of a batch of files or of decoded images."""

        def canvas_of(item):
            image = to_image(item, spec)
            return pipeline.canvas(image, spec), tf.cast(tf.shape(image)[:2], tf.float32)

        def serve(items):
            canvases, sizes = tf.map_fn(canvas_of, items, fn_output_signature=canvas)
            # One row at least: TensorFlow's convolutions fail on none.
            rows = tf.shape(canvases)[0]
            missing = [0, tf.maximum(1 - rows, 0)]
            canvases = tf.pad(canvases, [missing, [0, 0], [0, 0], [0, 0]])
            sizes = tf.pad(sizes, [missing, [0, 0]], constant_values=1.0)
            return {"features": encoder(center_view(canvases, size, sizes, crop, spec.gaps))[:rows]}

        return serve

    images = features_by(pipeline.from_array), [tf.TensorSpec([None, None, None, channels], dtype, name="images")]
    encoded = features_by(pipeline.decode), [tf.TensorSpec([None], tf.string, name="image_bytes")]
    archive = keras.export.ExportArchive()
    archive.track(encoder.model)
    archive.add_endpoint("serving_default", *(encoded if channels in CHANNELS and dtype in MAXIMUM else images))
    archive.add_endpoint("images", *images)
    with files.replacing(path, is_ours, as_folder=True) as beside:
        archive.write_out(beside, verbose=False)
        contents = {"files": sorted(_files_below(beside)), "encoder": encoder.contract.to_json()}
        files.write_json(os.path.join(beside, CONTENTS), contents)


def is_ours(path: str) -> bool:
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
