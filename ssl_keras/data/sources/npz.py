"""An .npz archive of images and labels by split, as MedMNIST's, as a source."""

import os
from pathlib import Path

from ssl_keras.data import measured
from ssl_keras.data.readers import npz
from ssl_keras.data.source import Source, Wanted
from ssl_keras.errors import UserError

FORMS = ("npz:PATH",)


def open_source(path: str, wanted: Wanted) -> Source:
    """The training images of an archive that holds `train_images`, `train_labels`, and the same of val and test; those
    of test, or else of val, are its test images. An archive of one array of images is all for training.

    Raises:
        UserError: it is damaged, or it cannot be told which array holds the images; it has no test images.
    """
    if not os.path.isfile(path):
        raise UserError(f"no file {path!r}: npz:PATH names one .npz file")
    options = measured.options()
    try:
        counts, facts = npz.counts(path), npz.facts(path, options)
        scored = next((split for split in ("test", "val") if split in counts), None)
        split = "train" if wanted.split == "train" else scored
        if split not in counts:
            raise UserError(f"it has no {wanted.split} images: it has {', '.join(counts)}")
        labels = npz.labels(path, split, options)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    names = list(counts)
    before = sum(counts[name] for name in names[: names.index(split)])
    unused = [f"{name} ({counts[name]})" for name in names if name not in ("train", scored)]
    return Source(
        name=f"{Path(path).name} ({split})",
        length=counts[split],
        read=lambda i: npz.read(path, before + i, options).pixels,
        describe=lambda i: f"{path}::{split}[{i}]",
        label=None if labels is None else lambda i: int(labels[i]),
        has_test_split=scored is not None,
        arrays=(facts.shape[2], facts.dtype),
        remarks=(f"not used: {', '.join(unused)}",) if unused else (),
    )
