"""TFRecord files of examples as a source."""

import contextlib
import glob
import os
from pathlib import Path

import numpy as np

from ssl_keras.data.records import IMAGE_KEYS, LABEL_KEYS, Records, record_source
from ssl_keras.data.source import Source, Wanted
from ssl_keras.errors import UserError

FORMS = ("tfrecord:GLOB",)
LOOKED_AT = 16  # records, for the names of their features


def open_source(pattern: str, wanted: Wanted) -> Source:
    """Examples with an encoded image in `image/encoded` or `image`, and a class in `image/class/label` or `label`:
    a whole number, or a name; names are numbered in their sorted order."""
    if wanted.split == "test":
        raise UserError(f"tfrecord:{pattern} has no test images of its own")
    found = sorted(glob.glob(pattern))
    paths = [path for path in found if not os.path.isdir(path)]
    if not paths:
        what = "only folders match: name the files in them, FOLDER/*" if found else "no file matches"
        raise UserError(f"tfrecord:{pattern}: {what}")
    records = Records(paths)
    if not len(records):
        raise UserError(f"tfrecord:{pattern}: the files hold no records")
    features = _features_found(records)
    image_key = next((key for key in IMAGE_KEYS if key in features), None)
    if image_key is None:
        raise UserError(
            f"{paths[0]} has examples of {', '.join(sorted(features)) or 'nothing'}: expected an encoded image in one "
            f"of the features {', '.join(IMAGE_KEYS)}"
        )
    label_key = next((key for key in LABEL_KEYS if key in features), None)
    return record_source(Path(pattern).name, records, image_key, label_key, None, False)


def _features_found(records: Records) -> set[str]:
    """Names of the features in some of the records: one may lack what the others have."""
    found = set()
    for i in np.unique(np.linspace(0, len(records) - 1, LOOKED_AT).astype(int)):
        with contextlib.suppress(ValueError):  # named when all are read
            found |= set(records.features(int(i)))
    return found
