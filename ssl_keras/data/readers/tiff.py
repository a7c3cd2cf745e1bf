"""TIFF of any kind, by tifffile: bands, floats, signed numbers, tiles, BigTIFF, OME-TIFF, ImageJ stacks, GeoTIFF.

Whole numbers stay as they are stored; a page is decoded when it is read, and no other. Smaller copies (SubIFDs, pages
that call themselves reduced) and masks are left out. An extra sample that is no transparency is a band.
"""

import functools
import logging
import math
import os
from typing import NamedTuple

import numpy as np

from ssl_keras.data.readers import tiff_axes, tiff_directory, tiff_values
from ssl_keras.data.readers.arrays import damage_told, pick, stamp, widest
from ssl_keras.data.readers.contract import PAGES, Facts, Picture, ReadOptions, check_bytes, package
from ssl_keras.errors import UserError

ENDINGS = (".tif", ".tiff", ".btf", ".tf8")
PACKAGES = ("tifffile", "imagecodecs")
NATIVE = ("read",)  # imagecodecs; a directory is parsed by tifffile alone
REDUCED, MASK = 1, 4  # bits of the tag NewSubfileType
STACK, STACK_PLANES = 33628, 33629  # tags of MetaMorph
SCALE = 33550  # GeoTIFF's tag of a pixel's size
LARGEST_TILE = 2**26  # bytes


class _Plan(NamedTuple):
    """Where the pictures of a file lie.

    Args:
        pictures: for each, the pages of its channels: (where the directory lies, which of the pages behind it).
        form: of each page.
    """

    pictures: tuple[tuple[tuple[int, int], ...], ...]
    form: tiff_values.Form
    facts: Facts


def is_one(head: bytes) -> bool:
    """Whether a file that begins so is a TIFF."""
    return head[:4] in tiff_directory.MAGIC


def facts(path: str, options: ReadOptions) -> Facts:
    """How many pictures, and of what: by OME-XML, ImageJ's or tifffile's axes, else by `options.pages`.

    Raises:
        UserError: it is damaged or too large, of a kind that is not read, or has several pages and says not what they
            are.
    """
    package("tifffile", "tifffile")
    with damage_told("TIFF"):
        return _plan(path, *stamp(path), options).facts


def read(path: str, number: int, options: ReadOptions) -> Picture:
    """One picture, its pages decoded one after another. `valid` is of GDAL's nodata (where all bands have it) and of
    full transparency.

    Raises:
        UserError: as `facts`; or the picture is damaged or cut off.
    """
    package("tifffile", "tifffile")
    with damage_told("TIFF"):
        plan = _plan(path, *stamp(path), options)
        pick(number, plan.facts.count)
        wanted = plan.pictures[number]
        found = np.empty(plan.facts.shape, plan.facts.dtype) if len(wanted) > 1 else None
        seen = []
        with _opened(path) as file:
            for k, (at, behind) in enumerate(wanted):
                page = _page(file, at)
                if tiff_values.form(page, plan.form.has_table) != plan.form:
                    raise UserError("it was written anew while it was read")
                _check(page, plan.form, behind, len(wanted), os.path.getsize(path), options)
                stored = _stored(file, page, plan.form, behind)
                pixels, measured = tiff_values.pixels(stored, plan.form, page.colormap if plan.form.has_table else None)
                seen.append(measured)
                if len(wanted) == 1:
                    return Picture(pixels, measured)
                channels = pixels.shape[2]
                found[..., k * channels : (k + 1) * channels] = pixels
        # As with bands: what was measured in one page was measured.
        return Picture(found, None if any(each is None for each in seen) else np.any(seen, axis=0))


@functools.lru_cache(maxsize=256)
def _plan(path: str, written: int, length: int, options: ReadOptions) -> _Plan:
    places = tiff_directory.directories(path)
    with _opened(path) as file:
        first = _page(file, places[0])
        whole = tuple(first.shape)
        most = _planes(first, length) if len(places) == 1 else 1
        name = os.path.basename(path)
        said = tiff_axes.told(first.description, whole, first.samplesperpixel, len(places), most, name)
        if STACK in first.tags and len(places) == 1:
            said = said._replace(pages=max(1, min(int(first.tags[STACK_PLANES].count), most)))
        # What the file says counts all its pages.
        main, remarks = _full(file, places) if said.pictures is None else (places, [])
        pages = [(at, 0) for at in main] if len(places) > 1 else [(places[0], k) for k in range(said.pages)]
        pictures = said.pictures
        if pictures is None:
            pictures, told = _asked(file, pages, options)
            remarks += told
        has_tables = all(len(picture) == 1 for picture in pictures)
        form = tiff_values.form(_page(file, pages[pictures[0][0]][0]), has_tables)
        used = dict.fromkeys(pages[k][0] for picture in pictures for k in picture)
        if any(tiff_values.form(_page(file, at), has_tables) != form for at in used):
            raise UserError(
                f"its {len(used)} pages differ in size or kind: set --pages=first to read the first alone"
                if said.pictures is None
                else "its pictures differ in size or kind: save each kind as a file of its own"
            )
        height, width, channels = form.shape
        shape = (height, width, channels * len(pictures[0]))
        if len({len(picture) for picture in pictures}) > 1:
            raise UserError("its pictures differ in their number of channels: save each kind as a file of its own")
        page = _page(file, pages[pictures[0][0]][0])
        _check(page, form, 0, len(pictures[0]), length, options)
        if page.subifds:
            remarks.append("smaller copies within it (SubIFDs) are left out")
        scale = page.tags.valueof(SCALE)
        spacing = said.spacing
        if isinstance(scale, tuple) and len(scale) >= 2 and all(0 < size < math.inf for size in scale[:2]):
            spacing = (float(scale[1]), float(scale[0]))
        remark = "; ".join([said.remark] * (said.remark is not None) + remarks) or None
        located = tuple(tuple(pages[k] for k in picture) for picture in pictures)
        return _Plan(located, form, Facts(len(pictures), shape, form.kept, spacing=spacing, remark=remark))


def _opened(path: str):
    """The file, without the special treatment of some makers' files that would read all of it."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it warns of is refused, in words
    return tifffile.TiffFile(path, is_lsm=False, is_scanimage=False, is_ndpi=False)


def _page(file, at: int):
    import tifffile

    file.filehandle.seek(at)
    return tifffile.TiffPage(file, 0)


def _planes(page, length: int) -> int:
    """Pages that may lie behind one directory, as ImageJ, MetaMorph and tifffile write large stacks."""
    if not (page.is_final and page.nbytes and page.dataoffsets):
        return 1
    return max(1, (length - page.dataoffsets[0]) // page.nbytes)


def _full(file, places: list[int]) -> tuple[list[int], list[str]]:
    """The pages that are neither smaller copies nor masks; all, where none is."""
    if len(places) == 1:
        return places, []
    kinds = [_page(file, at).subfiletype for at in places]
    full = [at for at, kind in zip(places, kinds) if not kind & (REDUCED | MASK)]
    left = len(places) - len(full)
    remarks = [f"{left} pages that are smaller copies or masks are left out"] if left and full else []
    return full or places[:1], remarks


def _asked(file, pages: list[tuple[int, int]], options: ReadOptions) -> tuple[list[tuple[int, ...]], list[str]]:
    """What pages are of which the file says nothing."""
    if len(pages) == 1:
        return [(0,)], []
    if options.pages is None:
        first = _page(file, pages[0][0])
        rows = f"; if an array [H, W, {first.imagewidth}] was meant, save it anew with planarconfig='contig'"
        is_odd = len(pages) > 4 * first.imagewidth
        choices = f"{', '.join(PAGES[:-1])} or {PAGES[-1]}"
        raise UserError(f"it has {len(pages)} pages: set --pages={choices}{rows if is_odd else ''}")
    if options.pages == "channels":
        return [tuple(range(len(pages)))], [f"{len(pages)} pages as channels"]
    if options.pages == "images":
        return [(k,) for k in range(len(pages))], [f"{len(pages)} pages as images"]
    return [(0,)], [f"the first of {len(pages)} pages"]


def _check(page, form: tiff_values.Form, behind: int, pages: int, length: int, options: ReadOptions) -> None:
    """Raises UserError where a page asks for more memory than may be, or for bytes that the file does not hold."""
    unpacked = int(page.compression) == 1
    if not unpacked or form.bits not in (8, 16, 32, 64) or page.predictor != 1 or page.fillorder != 1:
        package("imagecodecs", "imagecodecs")
    sizes = np.array(page.databytecounts, np.float64)
    starts = np.array(page.dataoffsets, np.float64)
    number = math.prod(page.chunked)
    height, width, channels = form.shape
    # Bands are decoded together, whatever becomes of them: a transparency, inks.
    most = (height, width, max(form.samples, channels) * pages)
    check_bytes(most, widest(form.dtype, form.kept), min(length, int(sizes.sum()) * pages), options)
    block = math.prod(page.chunks) * form.dtype.itemsize
    if block > max(page.nbytes, min(LARGEST_TILE, options.max_bytes)):
        raise UserError(f"damaged TIFF: it has tiles of {page.chunks[1]} x {page.chunks[0]}")
    if len(starts) < number or len(sizes) < number:
        raise UserError(f"damaged TIFF: it names {min(len(starts), len(sizes))} of its {number} strips or tiles")
    starts, sizes = starts[:number], sizes[:number]
    empty = (starts == 0) | (sizes == 0)
    is_filled = page.nodata == form.nodata or page.nodata != page.nodata  # by tifffile, with nodata or NaN
    if empty.any() and not is_filled:
        raise UserError("damaged TIFF: a strip or tile of it is left out")
    if unpacked and number == 1:
        sizes = np.array([page.nbytes * (behind + 1)]) if page.is_contiguous else sizes
    if (starts + sizes > length).any():
        raise UserError("damaged TIFF: it is cut off")


def _stored(file, page, form: tiff_values.Form, behind: int) -> np.ndarray:
    """The numbers of a page [height, width, samples], as they are stored, in native byte order."""
    if behind:
        file.filehandle.seek(page.dataoffsets[0] + behind * page.nbytes)
        dtype = form.dtype.newbyteorder(file.byteorder)
        stored = np.frombuffer(file.filehandle.read(page.nbytes), dtype).astype(form.dtype).reshape(page.shape)
    else:
        _check_frames(file, page, form)
        stored = page.asarray(maxworkers=1)
    planes = (form.samples, form.height, form.width)
    is_planar = page.planarconfig == 2 and form.samples > 1
    return np.moveaxis(stored.reshape(planes), 0, -1) if is_planar else stored.reshape(*planes[1:], form.samples)


def _check_frames(file, page, form: tiff_values.Form) -> None:
    """Raises UserError where a strip or tile is an image that calls itself larger than its place: it would be decoded
    first."""
    is_jpeg = int(page.compression) in tiff_values.JPEG
    if not is_jpeg and int(page.compression) not in tiff_values.J2K:
        return
    height, width = page.chunks[:2]
    samples = page.chunks[2] if len(page.chunks) > 2 else 1
    for start, size in zip(page.dataoffsets, page.databytecounts):
        if not size:
            continue
        file.filehandle.seek(start)
        packed = file.filehandle.read(size)
        frame = tiff_directory.jpeg_frame(packed) if is_jpeg else tiff_directory.j2k_frame(packed)
        if frame is None:
            raise UserError("TIFF of tiles that are no plain JPEG or JPEG 2000: save it with LZW or ZIP")
        fits = 0 < frame.width <= width and 0 < frame.height <= height and frame.samples == samples
        if not fits or frame.bits != form.bits or frame.is_signed != (form.dtype.kind == "i"):
            raise UserError(
                f"damaged TIFF: a tile of {width} x {height}, {samples} x {form.bits} bits, that holds "
                f"{frame.width} x {frame.height}, {frame.samples} x {frame.bits} bits"
            )
