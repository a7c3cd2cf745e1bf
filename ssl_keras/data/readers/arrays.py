"""What the readers share that read arrays of numbers: damage in words, dtypes, which axis is which."""

import contextlib
import errno
import os
from collections.abc import Iterator

import numpy as np

from ssl_keras.data.readers.contract import Facts
from ssl_keras.errors import UserError

NEXT = {
    "bool": "uint8",
    "uint8": "uint8",
    "int8": "int16",
    "uint16": "uint16",
    "int16": "int16",
    "int32": "int32",
    "uint32": "int32",
    "int64": "int32",
    "uint64": "int32",
    "float16": "float32",
    "float32": "float32",
    "float64": "float32",
}
"""Which dtype of pictures holds another: a header must tell it, so it cannot depend on the values."""
UNOPENED = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR)
FEW = 4  # as many channels, or fewer, say of an axis that it holds channels
LONGEST = 200  # characters of a library's own words


@contextlib.contextmanager
def damage_told(kind: str) -> Iterator[None]:
    """Whatever a damaged file makes a library raise, as a UserError in words.

    Decoders raise errors of every class, their own and Python's, where bytes are not as they expect.

    Args:
        kind: of file, such as "TIFF".
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNOPENED:
            raise UserError(f"it cannot be opened: {os.strerror(error.errno)}") from None
        reason = " ".join(str(error).split())[:LONGEST] or type(error).__name__
        raise UserError(f"damaged {kind}: {reason}") from None


def stamp(path: str) -> tuple[int, int]:
    """When a file was written and its length: what is known of it holds as long as these do."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


def pick(number: int, count: int) -> None:
    """Raises UserError for a picture that there is not."""
    if not 0 <= number < count:
        raise UserError(f"it has no picture {number}: it holds {count}, and the first is 0")


def kept_as(dtype: np.dtype) -> str:
    """The dtype of pictures that holds numbers of a stored one: exactly, but for float64, and whole numbers of more
    than 31 bits, which `cast` looks at.

    Raises:
        UserError: they are no plain numbers.
    """
    name = NEXT.get(dtype.newbyteorder("=").name)
    if name is None:
        raise UserError(f"it holds {dtype.newbyteorder('=').name}: expected whole numbers or floats of up to 64 bits")
    return name


def widest(*dtypes: np.dtype | str) -> np.dtype:
    """Of what a picture is while it is read, and what it becomes: that which needs the most memory."""
    return max(map(np.dtype, dtypes), key=lambda dtype: dtype.itemsize)


def cast(stored: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Numbers [H, W, C] of any dtype in the one that `kept_as` names, native byte order.

    Args:
        known: bool [H, W, C or 1]: only these need fit; None: all.

    Raises:
        UserError: they do not fit.
    """
    name = kept_as(stored.dtype)
    if stored.dtype.kind in "iu" and stored.dtype.itemsize >= 4 and stored.dtype.newbyteorder("=") != np.int32:
        limits = np.iinfo(np.int32)
        fits = stored <= limits.max
        if stored.dtype.kind == "i":
            fits &= stored >= limits.min
        if not (fits if known is None else fits | ~known).all():
            raise UserError(
                f"it holds {stored.dtype.name} from {stored.min()} to {stored.max()}, more than 32 bits with a sign "
                "hold: save it as float32, divided by what suits"
            )
    with np.errstate(all="ignore"):  # a padding of -1.8e308 becomes infinite, which is no picture's value either
        found = stored.astype(name)
    if stored.dtype.kind == "f" and stored.dtype.itemsize == 8:
        lost = np.isfinite(stored) & ~np.isfinite(found)
        if (lost if known is None else lost & known).any():
            raise UserError("it holds float64 beyond what float32 holds: save it in another unit")
    return np.ascontiguousarray(found)


def taken(shape: tuple[int, ...], dtype: np.dtype, name: str, is_counted: bool = False) -> Facts:
    """What an array's axes are taken for: [N, H, W, C], [N, H, W], [H, W, C] of up to four channels, or [H, W].

    Args:
        name: of the array, for messages.
        is_counted: whether the first axis is known to be that of the pictures, as by labels; [H, W] is then refused.

    Raises:
        UserError: it is nothing of these.
    """
    words = " x ".join(map(str, shape)) or "one number"
    kind = kept_as(dtype)
    if len(shape) not in ((3, 4) if is_counted else (2, 3, 4)) or 0 in shape:
        raise UserError(f"{name} is {words}: expected images [N, H, W, C], [N, H, W] or one picture [H, W]")
    if len(shape) == 2:
        return Facts(1, (*shape, 1), kind)
    if len(shape) == 4:
        count, height, width, channels = shape
        if min(height, width) <= FEW < channels:
            seems = ("[N, C, H, W]", "0, 2, 3, 1") if height <= FEW else ("[H, W, C, N]", "3, 0, 1, 2")
            raise UserError(f"{name} is {words}, which looks like {seems[0]}: save array.transpose({seems[1]})")
        return Facts(count, (height, width, channels), kind)
    if not is_counted and shape[2] <= FEW < min(shape[:2]):
        return Facts(1, shape, kind, remark=f"{name}, {words}, is taken for one picture [H, W, C]")
    told = None if is_counted else f"{name}, {words}, is taken for {shape[0]} images [N, H, W]"
    return Facts(shape[0], (*shape[1:], 1), kind, remark=told)
