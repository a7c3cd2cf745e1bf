"""What a TIFF file says of itself: its tags, what its numbers mean, why a page of its kind is not read by `tiff`."""

import contextlib
import io
from collections.abc import Iterator

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ssl_keras.data.apart import pool
from ssl_keras.errors import UserError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIPS, STRIP_BYTES, ORIENTATION, SAMPLES, STRIP_HEIGHT, PLANAR = 273, 279, 274, 277, 278, 284
PREDICTOR, COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 317, 320, 322, 323, 324, 325
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT = 332, 338, 339

PACKINGS = {5: "LZW", 8: "ZIP", 32946: "ZIP", 32773: "PackBits", 34925: "LZMA", 50000: "Zstandard"}
UNPACKED, PACK_BITS, JPEG, FAX = 1, 32773, 7, (2, 3, 4)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}  # samples of each
NAMES = {4: "a transparency mask", YCBCR: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a sensor's raw"}
PREMULTIPLIED, STRAIGHT = 1, 2  # two kinds of alpha
SUBFILE, NO_PAGE, MOST_PAGES = 254, 5, 1000  # a smaller copy (1) or a mask (4) is no page
AS_NPY = "save it as .npy, [N, H, W, C]"


def is_tiff(encoded: bytes) -> bool:
    """Whether a file calls itself a TIFF."""
    return encoded[:4] in MAGIC


def why_not_plain(encoded: bytes) -> str | None:
    """Why a TIFF is not one that `tiff_pixels` reads, damage aside; None where it is."""
    try:
        with damage_told():
            tags = read_tags(encoded)
            return refusal(tags) or several_pages(encoded, tags)
    except UserError:
        return None


@contextlib.contextmanager
def damage_told() -> Iterator[None]:
    """Whatever a damaged file makes fail, as a UserError in words."""
    try:
        yield
    except (pool.CrashError, pool.EndedError):
        raise
    except KeyError as error:
        raise UserError(f"damaged TIFF: it lacks the tag {error}") from None
    except Exception as error:  # of any class: sides of zero, places beyond the file, values of another kind
        raise UserError(f"damaged TIFF: {error}") from None


def read_tags(encoded: bytes) -> ImageFileDirectory_v2:
    """What the first page's directory says."""
    file = io.BytesIO(encoded)
    tags = ImageFileDirectory_v2(encoded[:16] if encoded[2] == 43 else encoded[:8])
    file.seek(tags.next)
    tags.load(file)
    height, width = tags.get(HEIGHT), tags.get(WIDTH)
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise UserError("it does not say its size")
    return tags


def several_pages(encoded: bytes, tags: ImageFileDirectory_v2) -> str | None:
    """What is to be said of a file of several pages, of which none is a smaller copy or a mask; None of one page."""
    pages, seen = 1, set()
    file = io.BytesIO(encoded)
    following = tags.next
    while following and following not in seen and len(seen) < MOST_PAGES:
        seen.add(following)
        other = ImageFileDirectory_v2(encoded[:16] if encoded[2] == 43 else encoded[:8])
        file.seek(following)
        other.load(file)
        pages += not other.get(SUBFILE, 0) & NO_PAGE and WIDTH in other
        following = other.next
    if pages == 1:
        return None
    return f"TIFF of {pages} pages: set --pages=channels, images or first, or save each page as a file of its own"


def photometric(tags: ImageFileDirectory_v2) -> int:
    """What the numbers mean; where that is left out, what libtiff takes them for."""
    guess = RGB if samples(tags) >= 3 else WHITE_IS_ZERO if tags.get(COMPRESSION, 1) in FAX else BLACK_IS_ZERO
    return tags.get(PHOTOMETRIC, guess)


def samples(tags: ImageFileDirectory_v2) -> int:
    return tags.get(SAMPLES, 1)


def extra_samples(tags: ImageFileDirectory_v2) -> tuple[int, ...]:
    """Kinds of the samples beyond the color's; RGB's fourth without a word is taken for alpha, as is the custom."""
    count = samples(tags) - COLOURS[photometric(tags)]
    kinds = tuple(tags.get(EXTRA_SAMPLES, ()))
    if not kinds and photometric(tags) == RGB and count == 1:
        kinds = (STRAIGHT,)
    return (*kinds, *[0] * count)[:count]


def refusal(tags: ImageFileDirectory_v2) -> str | None:
    """Why a page of this kind is not read, or None where it is."""
    bits, forms = set(tags.get(BITS, (1,))), set(tags.get(SAMPLE_FORMAT, (1,)))
    meaning, packing, count = photometric(tags), tags.get(COMPRESSION, 1), samples(tags)
    depth = max(bits)
    wanted = "expected whole numbers of 1 to 16 bits, not negative"
    if not forms <= {1, 4}:
        what = {2: "signed whole numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}.get(max(forms), "")
        advice = "float32 from 0 to 1" if depth > 16 or 3 in forms else "uint16 or float32"
        return f"TIFF of {depth}-bit {what or 'unknown numbers'}: {wanted}; {AS_NPY}, {advice}"
    if depth > 16:
        return f"TIFF of {depth}-bit whole numbers: {wanted}; {AS_NPY}, float32 from 0 to 1"
    if len(bits) > 1:
        return f"TIFF of {' and '.join(map(str, sorted(bits)))} bits: expected as many for each sample; save it as PNG"
    if meaning not in COLOURS or (meaning == YCBCR and packing != JPEG):
        name = NAMES.get(meaning, f"kind {meaning}")
        return f"TIFF in {name} colors, which are not read: save it as gray or RGB"
    if meaning == CMYK and tags.get(INK_SET, 1) != 1:
        return "TIFF in inks that are not CMYK: save it as RGB"
    extra = extra_samples(tags)
    if count < COLOURS[meaning] or len(extra) > 1 or (extra == (0,) and meaning != RGB):
        return (
            f"TIFF of {count} bands, photometric kind {meaning}: expected gray or RGB, with one alpha at most; "
            f"{AS_NPY.replace('C]', f'{count}]')}"
        )
    if packing in FAX:
        return None if (depth, count) == (1, 1) else "TIFF of a fax's packing, but not of one bit: save it as PNG"
    if packing == JPEG:
        is_plain = depth == 8 and not extra and tags.get(PLANAR, 1) == 1
        return None if is_plain else "TIFF of JPEG tiles of another kind than 8-bit gray or color: save it as PNG"
    if packing not in (UNPACKED, *PACKINGS):
        return f"TIFF of the packing {packing}, which is not read: save it uncompressed, LZW or ZIP"
    if predictor(tags) not in ((1, 2) if depth in (8, 16) else (1,)):
        return f"TIFF of {depth} bits with the predictor {predictor(tags)}, which is not read: save it without"
    return None


def predictor(tags: ImageFileDirectory_v2) -> int:
    return 1 if tags.get(COMPRESSION, 1) in (UNPACKED, PACK_BITS) else tags.get(PREDICTOR, 1)
