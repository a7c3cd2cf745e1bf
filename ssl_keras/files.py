"""Files that are either whole or absent: written beside their place, then renamed into it."""

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Collection, Iterator

from ssl_keras.errors import UserError
from ssl_keras.words import shown

WRITING = ".writing-"  # beginning of the names of what is not whole yet
CACHE = "SSL_KERAS_CACHE"  # environment variable: the folder of what is kept from run to run; empty: nothing is kept


@contextlib.contextmanager
def replacing(
    path: str, is_ours: Callable[[str], bool] | None = None, as_folder: bool = False
) -> Iterator[str]:
    """Yields a path to write to; moves what was written there onto `path` when the block ends without an error.

    Works for a file and for a directory. An error leaves an earlier `path` as it was, and so does a kill; but for a
    directory, whose earlier state may then lie beside it, in a name that begins with ".writing-". A link is followed:
    what it points to is replaced.

    Args:
        path: where to write.
        is_ours, as_folder: for a path that a user names, as `refuse_foreign` says; None: the path is in a folder of
            our own.
    Raises:
        UserError: something else than ours is there.
    """
    path = os.path.realpath(path)
    if is_ours is not None:
        refuse_foreign(path, is_ours, as_folder)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    beside = _beside(path)
    try:
        yield beside
        if os.path.isdir(beside):
            _move_folder(beside, path)
        else:
            with open(beside, "rb") as file:
                os.fsync(file.fileno())
            os.replace(beside, path)
        _sync(os.path.dirname(path))
    except BaseException:
        remove(beside)
        raise


def refuse_foreign(path: str, is_ours: Callable[[str], bool], as_folder: bool = False) -> None:
    """Refuses an output path at which something lies that this program did not write: that is never replaced.

    A path where nothing is, an empty folder and an empty file are free.

    Args:
        path: where something shall be written.
        is_ours: whether this program wrote the file, or all that a folder holds; asked of filled ones only.
        as_folder: whether a folder shall be written, not a file.
    Raises:
        UserError: the path is taken; names what lies there.
    """
    if os.path.isdir(path):
        entries = sorted(os.listdir(path))
        if not as_folder:
            raise UserError(f"{shown(path)} is a folder, and a file is to be written: name a file in it")
        if entries and not is_ours(path):
            some = ", ".join(map(shown, entries[:3])) + (f", .. {len(entries)} in all" if len(entries) > 3 else "")
            raise UserError(
                f"{shown(path)} is a folder with other things ({some}), none of which is replaced: name a path where "
                "nothing is"
            )
    elif os.path.lexists(path) and not (os.path.isfile(path) and (not os.path.getsize(path) or is_ours(path))):
        raise UserError(
            f"{shown(path)} is there and was not written by this program, so it is not replaced: name a path where "
            "nothing is"
        )


def _beside(path: str) -> str:
    """A free path in the same folder, so that the rename is atomic, with the same ending, which some writers want."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f"{WRITING}{secrets.token_hex(4)}-{name}")


def _move_folder(beside: str, path: str) -> None:
    """Renames a folder onto a path; a directory cannot be renamed onto a filled one, so that goes aside first."""
    if not os.path.lexists(path):
        os.rename(beside, path)
        return
    aside = _beside(path)
    os.rename(path, aside)
    try:
        os.rename(beside, path)
    except BaseException:
        os.rename(aside, path)
        raise
    remove(aside)


def remove_unfinished(folder: str, names: Collection[str] | None = None) -> None:
    """Removes from a folder of our own what a killed process was writing there: under any name, or one of `names`."""
    for entry in os.listdir(folder):
        unfinished = re.fullmatch(rf"{re.escape(WRITING)}[0-9a-f]{{8}}-(.+)", entry)
        if unfinished and (names is None or unfinished[1] in names):
            remove(os.path.join(folder, entry))


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Holds a folder for one process: a lock that the operating system drops when the process ends, however it ends.

    Raises:
        UserError: another process holds it.
    """
    with open(os.path.join(folder, ".lock"), "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(
                f"{folder} is in use by another run ({file.read().strip()}): wait for it, or use another folder"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


@contextlib.contextmanager
def space_needed(folder: str, goes_on: str = "goes on from the last checkpoint") -> Iterator[None]:
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
            f"command {goes_on}",
        ) from error


def cache_folder(name: str, most: int) -> str | None:
    """A folder in the user's cache, made where it is missing, its oldest files removed.

    Args:
        name: of the folder.
        most: how many files are kept there.

    Returns:
        Its path; None where nothing is to be kept, or nothing can be written.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    place = os.environ.get(CACHE, os.path.join(home, "ssl_keras"))
    if not place:
        return None
    folder = os.path.join(place, name)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)  # names of files may be no one else's business
        kept = sorted(os.scandir(folder), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for old in kept[most:]:
            os.remove(old.path)
    except OSError:  # a home that cannot be written to, or another process that tidies up
        pass
    return folder if os.access(folder, os.W_OK) else None


def local(path: str) -> str:
    """A path as a person writes it, with ~ for the home folder and no needless slashes and dots; "" stays."""
    return os.path.normpath(os.path.expanduser(path)) if path else path


def remove(path: str) -> None:
    """Removes a file or a directory tree if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def write_text(path: str, text: str, is_ours: Callable[[str], bool] | None = None) -> None:
    """Writes a text file whole or not at all; what was no UTF-8 in the name of a file is written as it was.

    `is_ours` as for `replacing`.
    """
    with replacing(path, is_ours) as beside, open(beside, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def write_json(path: str, value: object, is_ours: Callable[[str], bool] | None = None) -> None:
    """Writes readable JSON whole or not at all; `is_ours` as for `replacing`."""
    write_text(path, json.dumps(value, indent=2) + "\n", is_ours)


def holds_rows(path: str) -> bool:
    """Whether a file is a list of rows that an evaluation or a benchmark wrote: what they may replace."""
    try:
        rows = read_json(path)
    except (OSError, ValueError):
        return False
    known = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return known and all("eval" in row or "suite" in row for row in rows)


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
