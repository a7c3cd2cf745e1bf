"""Sources that give pixels: an .npy file of one array, and the built-in renderers."""

import os
from pathlib import Path

import numpy as np

from ssl_keras.data.source import Source

BUILTIN = ("scenes", "depth_scenes")


def open_npy(path: str) -> Source:
    """An array of images [N, H, W, C] or [N, H, W], uint8, uint16 or float32 in [0, 1], mapped and not read
    into memory.

    Labels come from the file of the same name that ends in `.labels.npy` (integer [N]), where there is one.
    """
    if not os.path.isfile(path):
        raise ValueError(f"no file {path!r}: npy:PATH names one .npy file")
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not an .npy file of plain numbers: {error}") from None
    if not isinstance(images, np.ndarray) or images.ndim not in (3, 4) or not images.size:
        shape = list(getattr(images, "shape", ["several arrays"]))
        raise ValueError(f"{path} holds {shape}: expected images [N, H, W, C] or [N, H, W]")
    if images.ndim == 4 and images.shape[1] <= 4 < images.shape[3]:
        raise ValueError(
            f"{path} holds {list(images.shape)}, which looks like [N, C, H, W]: expected [N, H, W, C]; "
            "save array.transpose(0, 2, 3, 1)"
        )
    if images.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(
            f"{path} holds {images.dtype}: expected uint8, uint16, or float32 with values from 0 to 1; "
            "save array.astype(..) of one of these"
        )
    labels = _npy_labels(path, len(images))

    def read(i: int) -> np.ndarray:
        image = np.array(images[i])
        return image[..., np.newaxis] if image.ndim == 2 else image

    return Source(
        name=Path(path).name,
        length=len(images),
        read=read,
        describe=lambda i: f"{path}[{i}]",
        label=None if labels is None else lambda i: int(labels[i]),
        arrays=(images.shape[3] if images.ndim == 4 else 1, images.dtype.name),
    )


def _npy_labels(path: str, count: int) -> np.ndarray | None:
    beside = Path(path).with_suffix(".labels.npy")
    if not beside.is_file():
        return None
    labels = np.load(beside, allow_pickle=False)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{beside} holds {labels.dtype} {list(labels.shape)}: expected one integer for each of {count} images"
        )
    return labels


def open_builtin(rest: str, split: str, size: int, seed: int) -> Source:
    """Rendered images: `scenes` (colour, 8 bit) or `depth_scenes` (one channel, 16 bit), with the class of
    each.

    Args:
        rest: NAME or NAME:N; N training images (default 4000), a quarter as many test images.
        split: "train" or "test"; no image is in both.
        size: side, px.
        seed: which images.
    """
    from ssl_keras.data import scenes

    name, _, count = rest.partition(":")
    if name not in BUILTIN:
        raise ValueError(f"unknown built-in data {name!r}: expected one of {', '.join(BUILTIN)}")
    if count and not (count.isdecimal() and int(count) >= 4):
        raise ValueError(f"builtin:{rest}: expected a number of images of 4 or more after the name, not {count!r}")
    length = int(count or 4000)
    first = 0
    if split == "test":
        length, first = length // 4, scenes.TEST_OFFSET
    render = scenes.render_image if name == "scenes" else scenes.render_depth_image
    return Source(
        name=f"builtin:{name} {split}",
        length=length,
        read=lambda i: render(first + i, size, seed),
        describe=lambda i: f"builtin:{name} image {first + i}",
        label=lambda i: int(scenes.label(first + i, seed)),
        class_names=tuple(scenes.CLASS_NAMES),
        has_test_split=True,
        arrays=(3, "uint8") if name == "scenes" else (1, "uint16"),
    )
