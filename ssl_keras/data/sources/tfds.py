"""Data sets prepared by TensorFlow Datasets as a source."""

import os
from pathlib import Path

import numpy as np

from ssl_keras.data.records import Records, record_source
from ssl_keras.data.source import Source, Wanted
from ssl_keras.errors import UserError

FORMS = ("tfds:NAME[:SPLIT]",)
TEST_SPLITS = ("test", "validation")


def open_source(rest: str, wanted: Wanted) -> Source:
    """A prepared data set of TensorFlow Datasets. Nothing is ever downloaded.

    Args:
        rest: NAME or NAME:SPLIT; NAME as below data_dir (`cifar10`, `cifar10/3.0.2`, `name/config`).
        wanted: its split "train" reads SPLIT (default: train), "test" the data set's test or validation split; its
            data_dir is the folder of prepared data sets (default: tfds's own).
    """
    import tensorflow_datasets as tfds

    name, _, part = rest.partition(":")
    part = part or "train"
    data_dir = os.path.expanduser(wanted.data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))
    builder = tfds.builder_from_directory(_prepared_folder(name, data_dir))
    test_split = next((known for known in TEST_SPLITS if known in builder.info.splits and known not in part), None)
    chosen = part if wanted.split == "train" else test_split
    if chosen is None:
        raise UserError(f"tfds:{rest} has no test images: its splits are {sorted(builder.info.splits)}")
    try:
        instructions = builder.info.splits[chosen].file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        raise UserError(
            f"tfds:{name} has no split {chosen!r}: known are {sorted(builder.info.splits)}, and parts like train[:10%] "
            f"({error})"
        ) from None
    file_format = builder.info.file_format.value
    if file_format != "tfrecord":
        raise UserError(f"tfds:{name} is stored as {file_format}: prepare it with file_format='tfrecord'")

    records = Records([str(part.filename) for part in instructions])
    first = np.cumsum([0] + [part.examples_in_shard for part in instructions])
    if len(records) != first[-1]:
        raise UserError(f"tfds:{name} {chosen}: {len(records)} records in the files, {first[-1]} by dataset_info.json")
    ranges = [
        np.arange(part.examples_in_shard)[part.skip :][: part.take if part.take >= 0 else None] + start
        for part, start in zip(instructions, first)
    ]
    records.keep(np.concatenate(ranges) if ranges else np.arange(0))
    image_key, label_key = _tfds_keys(builder.info, tfds.features, name)
    class_names = tuple(builder.info.features[label_key].names) if label_key else None
    return record_source(f"{name} {chosen}", records, image_key, label_key, class_names, test_split is not None)


def _tfds_keys(info, kinds, name: str) -> tuple[str, str | None]:
    """The features that hold the image and its class: the supervised pair, else the only ones of their kind."""
    pair = info.supervised_keys
    pair = pair if isinstance(pair, tuple) and len(pair) == 2 else (None, None)

    def only(kind, preferred):
        found = [key for key, feature in info.features.items() if isinstance(feature, kind)]
        return preferred if preferred in found else found[0] if len(found) == 1 else None

    image_key = only(kinds.Image, pair[0])
    if image_key is None:
        raise UserError(f"tfds:{name} has no single image feature: {sorted(info.features)}")
    return image_key, only(kinds.ClassLabel, pair[1])


def _prepared_folder(name: str, data_dir: str) -> str:
    """The folder of the newest prepared version of a data set."""
    root = Path(data_dir, name)
    versions = [path.parent for path in root.glob("**/dataset_info.json")] if root.is_dir() else []
    if not versions:
        found = Path(data_dir).glob("*/**/dataset_info.json")
        prepared = sorted({path.parent.parent.relative_to(data_dir).as_posix() for path in found})
        raise UserError(
            f"tfds:{name} is not prepared: looked in {root.absolute()}; prepared in {data_dir} are "
            f"{', '.join(prepared) or 'none'}. Set --data_dir, or run tfds build {name} --data_dir={data_dir} first"
        )
    configs = {path.parent for path in versions}
    if len(configs) > 1:
        known = sorted(path.relative_to(data_dir).as_posix() for path in configs)
        raise UserError(f"tfds:{name} has several configurations: choose one of {', '.join(known)}")
    return str(max(versions, key=lambda path: [int(part) for part in path.name.split(".") if part.isdecimal()]))
