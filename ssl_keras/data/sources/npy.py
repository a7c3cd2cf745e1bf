"""An .npy file of one array as a source."""

import os
from pathlib import Path

import numpy as np

from ssl_keras.data.axes import doubt
from ssl_keras.data.source import LARGEST_LABEL, Source, Wanted
from ssl_keras.errors import UserError

FORMS = ("npy:PATH",)
DTYPES = ("uint8", "uint16", "int16", "int32", "float32")
LOOKED_AT = 64  # images, for advice on a dtype


def open_source(path: str, wanted: Wanted) -> Source:
    """An array of images [N, H, W, C] or [N, H, W], of one of `DTYPES` in any byte order, mapped and not read into
    memory.

    Labels come from the file of the same name that ends in `.labels.npy` (integer [N]), where there is one.

    Raises:
        UserError: the file holds something else; the message says what, and how to make it right. Axes that look like
            another order are left to `Source.doubt`.
    """
    if wanted.split == "test":
        raise UserError(f"npy:{path} has no test images of its own")
    if not os.path.isfile(path):
        raise UserError(f"no file {path!r}: npy:PATH names one .npy file")
    images = _load(path, mmap_mode="r")
    if images.ndim == 2:
        raise UserError(
            f"{path} holds {list(images.shape)}: expected images [N, H, W, C] or [N, H, W]; save array[np.newaxis] if "
            "it is one gray picture, or array.reshape(N, H, W) if each row is one"
        )
    if images.ndim not in (3, 4) or not images.size:
        empty = ", which is empty" if not images.size else ""
        raise UserError(f"{path} holds {list(images.shape)}{empty}: expected images [N, H, W, C] or [N, H, W]")
    native = images.dtype.newbyteorder("=")
    if native.name not in DTYPES:
        raise UserError(
            f"{path} holds {images.dtype}: expected {', '.join(DTYPES[:-1])} or {DTYPES[-1]}; save {_cast(images)}"
        )
    labels = _npy_labels(path, len(images))

    def read(i: int) -> np.ndarray:
        image = np.array(images[i], native, order="C")
        return image[..., np.newaxis] if image.ndim == 2 else image

    return Source(
        name=Path(path).name,
        length=len(images),
        read=read,
        describe=lambda i: f"{path}[{i}]",
        label=None if labels is None else lambda i: int(labels[i]),
        arrays=(images.shape[3] if images.ndim == 4 else 1, native.name),
        doubt=doubt(path, images.shape),
    )


def _load(path: str | Path, mmap_mode: str | None = None) -> np.ndarray:
    """The array of an .npy file; UserError in words where there is none."""
    try:
        found = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # of any class: a damaged header is parsed as Python, a damaged archive as ZIP
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is not an .npy file of plain numbers: {reason}") from None
    if not isinstance(found, np.ndarray):
        names = sorted(found.files)
        raise UserError(
            f"{path} is an .npz archive of {', '.join(names) or 'nothing'}: expected an .npy file of one array; save "
            f"np.load('{path}')[{names[0] if names else 'NAME'!r}] by np.save"
        )
    return found


def _cast(images: np.ndarray) -> str:
    """How to make plain pixels of an array of another dtype, by a look at some of its images."""
    kind = images.dtype.kind
    if kind == "b":
        return "array.astype(np.uint8) * 255"
    if kind not in "iuf":
        return "an array of plain numbers"
    if kind == "f":
        return "array.astype(np.float32)"
    some = images[np.unique(np.linspace(0, len(images) - 1, min(LOOKED_AT, len(images))).astype(int))]
    for dtype in DTYPES[:-1]:
        if some.min() >= np.iinfo(dtype).min and some.max() <= np.iinfo(dtype).max:
            return f"array.astype(np.{dtype})"
    return "array.astype(np.float32)"


def _npy_labels(path: str, count: int) -> np.ndarray | None:
    beside = Path(path).with_suffix(".labels.npy")
    if not beside.is_file():
        return None
    labels = _load(beside, mmap_mode="r")  # else room is made for whatever the header claims
    wanted = f"expected one whole number for each of {count} images"
    if labels.shape != (count,):
        advice = ""
        if labels.size == count:
            advice = "; save labels.reshape(-1)"
        elif labels.ndim == 2 and len(labels) == count:
            advice = "; save labels.argmax(1) where these are one-hot"
        raise UserError(f"{beside} holds {labels.dtype} {list(labels.shape)}: {wanted}{advice}")
    if labels.dtype.kind not in "iu":
        advice = {
            "U": "np.unique(labels, return_inverse=True)[1]",
            "S": "np.unique(labels, return_inverse=True)[1]",
            "b": "labels.astype(np.int64)",
            "f": "labels.astype(np.int64)",
        }.get(labels.dtype.kind, "an array of integers")
        raise UserError(f"{beside} holds {labels.dtype} {list(labels.shape)}: {wanted}; save {advice}")
    wrong = labels[(labels < -1) | (labels > LARGEST_LABEL)]
    if wrong.size:
        raise UserError(
            f"{beside} holds the label {wrong[0]}: expected classes from 0 to {LARGEST_LABEL}, and -1 for an image "
            "that has none; save np.unique(labels, return_inverse=True)[1] to number them anew"
        )
    return labels
