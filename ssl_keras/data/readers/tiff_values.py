"""What the numbers of a TIFF page are, and pixels from them: color tables, alpha, white as zero, nodata, orientation.

Values stay as they are stored: 12 bits are 0 to 4095. Color tables become RGB of 8 bits, inks RGB. Alpha is over
white, as everywhere in this package, and where it is 0 nothing was measured.
"""

import dataclasses
import math

import numpy as np

from ssl_keras.data.readers.arrays import cast, kept_as
from ssl_keras.errors import UserError

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}  # samples of each
NAMES = {4: "a transparency mask", YCBCR: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a sensor's raw"}
FAX, JPEG, J2K = (2, 3, 4), (7,), (33003, 33005, 34712)
PACKINGS = (1, 5, 8, 32946, 32773, 34925, 34926, 50000, *FAX, *JPEG, *J2K)
PREMULTIPLIED, STRAIGHT, UNSAID = 1, 2, -1
TRANSPOSED, MIRRORED, FLIPPED = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)  # by orientation


@dataclasses.dataclass(frozen=True)
class Form:
    """What a page's numbers are: pages of one picture have the same.

    Args:
        height, width: as stored, before the orientation.
        samples: of each pixel as stored.
        dtype: of the numbers as stored.
        bits: of each.
        photometric: TIFF's word for what they mean.
        alpha: the kind of the transparency sample, or None.
        alpha_at: which sample it is.
        orientation: TIFF's 1 to 8.
        nodata: the value of what was not measured, in TIFF tag 42113.
        has_table: whether the numbers index a color table that is applied.
    """

    height: int
    width: int
    samples: int
    dtype: np.dtype
    bits: int
    photometric: int
    alpha: int | None
    alpha_at: int
    orientation: int
    nodata: float | None
    has_table: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of its pixels."""
        sides = (self.width, self.height) if self.orientation in TRANSPOSED else (self.height, self.width)
        if self.has_table or self.photometric == CMYK:
            return (*sides, 3)
        return (*sides, self.samples - (self.alpha is not None))

    @property
    def kept(self) -> str:
        """The dtype of its pixels."""
        return "uint8" if self.has_table else kept_as(self.dtype)


def form(page, has_tables: bool) -> Form:
    """What the numbers of a tifffile page are.

    Args:
        has_tables: whether color tables are applied; they only color the display of a picture of several pages.

    Raises:
        UserError: it is of a kind that would not be read rightly; the message says which.
    """
    sizes = (page.imagelength, page.imagewidth)
    samples, photometric = page.samplesperpixel, int(page.photometric if page.photometric is not None else 1)
    if not all(isinstance(size, int) and size > 0 for size in (*sizes, samples)):
        raise UserError("damaged TIFF: it does not say its size")
    if page.imagedepth != 1 or page.tiledepth != 1:
        raise UserError("TIFF of a volume in one page, which is not read: save each slice as a page")
    if page.dtype is None or page.dtype.kind not in "buif" or not isinstance(page.bitspersample, int):
        raise UserError(f"TIFF of {page.bitspersample} bits, sample format {page.sampleformat}, which is not read")
    if page.bitspersample == 24 and page.dtype.kind == "f":
        raise UserError("TIFF of 24-bit floats, which is not read: save it as float32")
    if int(page.compression) not in PACKINGS:
        raise UserError(f"TIFF of the packing {int(page.compression)}, which is not read: save it with LZW or ZIP")
    if photometric not in COLOURS or (photometric == YCBCR and page.compression not in JPEG):
        name = NAMES.get(photometric, f"kind {photometric}")
        raise UserError(f"TIFF in {name} colors, which are not read: save it as gray, RGB or bands")
    if photometric == CMYK and (samples != 4 or page.tags.valueof(332, 1) != 1 or str(page.dtype) not in INKS):
        raise UserError("TIFF in inks that are not CMYK of 8 or 16 bits: save it as RGB")
    if photometric == PALETTE and (samples != 1 or page.dtype.kind not in "bu" or page.bitspersample > 16):
        raise UserError(f"TIFF of a color table and {samples} samples, which is not read: save it as RGB")
    if samples < COLOURS[photometric]:
        raise UserError(f"damaged TIFF: {samples} samples for colors of {COLOURS[photometric]}")
    if int(page.compression) in FAX and (page.bitspersample, samples) != (1, 1):
        raise UserError("TIFF of a fax's packing, but not of one bit: save it as PNG")
    alpha, alpha_at = _alpha(page, samples, photometric)
    if int(page.compression) in JPEG and (page.bitspersample != 8 or alpha is not None or photometric == CMYK):
        raise UserError("TIFF of JPEG tiles of another kind than 8-bit gray or color: save it with LZW or ZIP")
    orientation = page.tags.valueof(274, 1)
    return Form(
        *sizes,
        samples,
        page.dtype,
        page.bitspersample,
        photometric,
        alpha,
        alpha_at,
        int(orientation) if orientation in range(1, 9) else 1,
        _nodata(page.tags.valueof(42113)),
        photometric == PALETTE and has_tables,
    )


INKS = ("uint8", "uint16")


def _alpha(page, samples: int, photometric: int) -> tuple[int | None, int]:
    """Kind and place of the transparency; a fourth sample of RGB without a word is taken for it, if it is opaque."""
    kinds = page.extrasamples if isinstance(page.extrasamples, tuple) else (page.extrasamples,)
    extra = samples - COLOURS[photometric]
    found = [(int(kind), k) for k, kind in enumerate(kinds[:extra]) if kind in (PREMULTIPLIED, STRAIGHT)]
    if len(found) > 1:
        raise UserError("TIFF of several transparencies, which is not read: save it as gray, RGB or bands")
    if found:
        return found[0][0], COLOURS[photometric] + found[0][1]
    if photometric == RGB and extra == 1 and 338 not in page.tags:
        return UNSAID, 3
    return None, 0


def _nodata(text) -> float | None:
    """What GDAL writes: a number as text, with a comma in some countries. None for NaN, which says so by itself."""
    if not isinstance(text, str):
        return None
    text = text.strip("\0 ").replace(",", ".")
    try:
        return int(text)
    except ValueError:
        pass
    try:
        found = float(text)
    except ValueError:
        return None
    return None if math.isnan(found) else found


def pixels(stored: np.ndarray, kind: Form, table: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels [H, W, C] of `kind.shape` and `kind.kept`, and bool [H, W] where the file says what was measured, or None.

    Args:
        stored: [height, width, samples], native byte order.
        table: [3, N] colors, for a palette.

    Raises:
        UserError: they would not be read rightly.
    """
    alpha = None
    if kind.alpha is not None:
        alpha = stored[..., kind.alpha_at]
        stored = np.delete(stored, kind.alpha_at, axis=-1)
    known = _known(stored, kind.nodata)
    # A band may well have the value, all bands hardly: a pixel was measured where any band was.
    valid = None if known is None else known.any(-1)
    if alpha is not None:
        shown, seen = _over_white(stored, alpha, kind)
    elif kind.photometric == WHITE_IS_ZERO and kind.dtype.kind in "bu":
        shown, seen = _most(kind) - stored, None
    else:
        shown, seen = stored, None
    if kind.has_table:
        shown = _colored(shown[..., 0], kind, table)
    elif kind.photometric == CMYK:
        most = _most(kind)
        paper = 1.0 - shown / float(most)
        shown = np.round(paper[..., :3] * paper[..., 3:] * most).astype(kind.dtype)
    if seen is not None:
        valid = seen if valid is None else valid & seen
    # A float of one band that was not measured becomes infinite; a whole number would become another.
    shown = cast(shown, known if kind.dtype.kind == "f" or valid is None else valid[..., np.newaxis])
    if valid is not None:
        valid = _upright(valid, kind.orientation)
    return np.ascontiguousarray(_upright(shown, kind.orientation)), valid


def _most(kind: Form) -> np.generic:
    """The largest number of so many bits."""
    return (np.uint8 if kind.dtype.kind == "b" else kind.dtype.type)(2**kind.bits - 1)


def _known(stored: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Where a number is not `nodata`."""
    if nodata is None:
        return None
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return stored != stored.dtype.type(nodata)
    if nodata != nodata // 1 or (stored.dtype.kind != "b" and not _fits(int(nodata), stored.dtype)):
        return np.ones(stored.shape, bool)
    return stored != int(nodata)


def _fits(value: int, dtype: np.dtype) -> bool:
    return np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def _over_white(color: np.ndarray, alpha: np.ndarray, kind: Form) -> tuple[np.ndarray, np.ndarray | None]:
    """Colors as they show on white, and where they show at all: None where they do everywhere."""
    most = _most(kind) if kind.dtype.kind in "bu" else 1
    if kind.photometric == WHITE_IS_ZERO and kind.dtype.kind in "bu":
        color = most - color if kind.alpha != PREMULTIPLIED else alpha[..., np.newaxis] - color
    if (alpha == most).all():
        return color, None
    if kind.alpha == UNSAID:
        raise UserError(
            "TIFF of RGB and a fourth sample, of which it does not say whether it is transparency or a band"
        )
    if kind.dtype.kind not in "u":
        partly = (alpha != 0) & (alpha != most)
        if partly.any():
            raise UserError(f"TIFF of {kind.dtype.name} that is partly transparent, which is not read: save it without")
        return color, alpha != 0
    share = alpha[..., np.newaxis] / float(most)
    shown = np.empty_like(color)
    for band in range(color.shape[-1]):  # one at a time, as the numbers are of 8 bytes meanwhile
        value = color[..., band] if kind.alpha == PREMULTIPLIED else color[..., band] * share[..., 0]
        shown[..., band] = np.round(np.minimum(value + (1.0 - share[..., 0]) * float(most), float(most)))
    return shown, alpha != 0


def _colored(index: np.ndarray, kind: Form, table: np.ndarray | None) -> np.ndarray:
    if table is None or table.shape != (3, 2**kind.bits):
        raise UserError("damaged TIFF: it lacks its color table, tag 320")
    colors = (table >> 8 if table.max() > 255 else table).astype(np.uint8).T  # some write 8 bits
    return colors[index.astype(np.uint16)]


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in TRANSPOSED:
        values = values.swapaxes(0, 1)
    if orientation in MIRRORED:
        values = values[:, ::-1]
    if orientation in FLIPPED:
        values = values[::-1]
    return values
