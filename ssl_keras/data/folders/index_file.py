"""What is remembered of a folder from one start to the next: named arrays in an .npz file in the user's cache."""

import contextlib
import hashlib
import os

import numpy as np
from absl import logging

from ssl_keras import files
from ssl_keras.words import shown

FORMAT = 1  # of the arrays: files of another one are as good as none
KEPT = 64  # files, those that were used last
LEAST = 1000  # a folder of fewer files is read as quickly as what is remembered of it
SETTLED = 2 * 10**9  # nanoseconds: what was changed later than so long before a look may change again unseen
_FOLDER = "folders"


class IndexFile:
    """The file of one kind of facts about one folder.

    It is never trusted: what is no whole file, or of another folder, format or `key`, is as good as none.

    Args:
        root: the folder.
        kind: what is remembered.
        key: all else that the facts depend on.
    """

    def __init__(self, root: str, kind: str, key: str):
        real = os.path.realpath(root)
        self.root = root
        self._owner = repr((FORMAT, real, key))
        self._name = f"{hashlib.sha256(os.fsencode(self._owner)).hexdigest()[:24]}-{kind}.npz"

    def read(self) -> dict[str, np.ndarray] | None:
        """The arrays that `write` was given; None where there are none, or they are not to be trusted."""
        folder = files.cache_folder(_FOLDER, KEPT)
        if folder is None:
            return None
        path = os.path.join(folder, self._name)
        try:
            with np.load(path, allow_pickle=False) as archive:  # a checksum of each array is compared
                found = {name: archive[name] for name in archive.files}
            if unpacked(found.pop("owner")) != [self._owner]:
                raise ValueError
        except FileNotFoundError:
            return None
        except Exception:  # whatever a damaged file leads NumPy to
            logging.warning("what was remembered of %s is damaged: it is looked through anew", shown(self.root))
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # files that are used are kept
        return found

    def write(self, arrays: dict[str, np.ndarray]) -> None:
        """Remembers arrays; a cache that cannot be written to is no trouble."""
        folder = files.cache_folder(_FOLDER, KEPT)
        if folder is not None:
            with contextlib.suppress(OSError), files.replacing(os.path.join(folder, self._name)) as beside:
                np.savez(beside, owner=packed([self._owner]), **arrays)


def packed(texts: list[str]) -> np.ndarray:
    """Texts, such as names of files, as one array of bytes. None holds a zero character."""
    return np.frombuffer(os.fsencode("\0".join([*texts, ""])), np.uint8)


def unpacked(array: np.ndarray) -> list[str]:
    """What `packed` was given."""
    return os.fsdecode(array.tobytes()).split("\0")[:-1]
