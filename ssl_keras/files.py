"""Files that are either whole or absent: written beside their place, then renamed into it."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a path to write to; moves what was written there onto `path` when the block ends without an error.

    Works for a file and for a directory. An error or a kill leaves an earlier `path` as it was.
    """
    beside = f"{path}.writing"  # same folder, so that the rename is atomic
    remove(beside)
    try:
        yield beside
        if os.path.isdir(beside):
            remove(path)  # a directory cannot be renamed onto a filled one
        else:
            with open(beside, "rb") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        remove(beside)
        raise


def remove(path: str) -> None:
    """Removes a file or a directory tree if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def write_text(path: str, text: str) -> None:
    """Writes a text file whole or not at all."""
    with replacing(path) as beside, open(beside, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path: str, value: object) -> None:
    """Writes readable JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: str) -> object:
    """What `write_json` wrote."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)
