"""Files that are either whole or absent: written beside their place, then renamed into it."""

import contextlib
import errno
import json
import os
import re
import shutil
import socket
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
        _sync(os.path.dirname(path) or ".")
    except BaseException:
        remove(beside)
        raise


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Holds a folder for one process: a lock that the operating system drops when the process ends, however it ends.

    Raises:
        ValueError: another process holds it.
    """
    try:
        import fcntl  # not on Windows
    except ImportError:
        yield
        return
    with open(os.path.join(folder, ".lock"), "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ValueError(
                f"{folder} is in use by another run ({file.read().strip()}): wait for it, or use another --workdir"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


@contextlib.contextmanager
def space_needed(folder: str) -> Iterator[None]:
    """Says in a sentence that a disk is full, and that what was written before is whole.

    Raises:
        OSError: with that sentence.
    """
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    try:
        yield
    except Exception as error:
        # TensorFlow's event writer has errors of its own, which carry the system's words.
        if getattr(error, "errno", None) not in full and "No space left" not in str(error):
            raise
        raise OSError(
            getattr(error, "errno", None) or errno.ENOSPC,
            f"no space is left for {folder} ({error}). What was saved before is whole: free some space, and the same "
            "command goes on from the last checkpoint",
        ) from error


def remove(path: str) -> None:
    """Removes a file or a directory tree if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def shown(text: str) -> str:
    """A file's name, or a message, as one line that can be printed and written anywhere.

    Control characters and line ends become \\t, \\n, \\xNN or \\uNNNN, and a byte of a name that is no UTF-8 (which
    Python holds as a surrogate) \\xNN: `printf '%b'` gives the name's bytes back. Given twice it changes nothing more.
    """

    def escaped(match: re.Match) -> str:
        code = ord(match[0])
        if 0xDC80 <= code <= 0xDCFF:
            return f"\\x{code - 0xDC00:02x}"
        return f"\\u{code:04x}" if code >= 0x80 else match[0].encode("unicode_escape").decode()

    return UNPRINTABLE.sub(escaped, text)


def write_text(path: str, text: str) -> None:
    """Writes a text file whole or not at all; what was no UTF-8 in the name of a file is written as it was."""
    with replacing(path) as beside, open(beside, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def write_json(path: str, value: object) -> None:
    """Writes readable JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: str) -> object:
    """What `write_json` wrote."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _sync(folder: str) -> None:
    """Has a rename in a folder survive a loss of power, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
