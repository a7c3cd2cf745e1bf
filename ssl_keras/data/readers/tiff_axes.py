"""What a TIFF says of its pages: which are channels of one picture, and which are pictures.

OME-XML (OME-TIFF, docs.openmicroscopy.org/ome-model), ImageJ's description and tifffile's shape with axes. Read here
and not by tifffile's series: those allocate what the texts claim, and open other files that they name.
"""

import json
import os
import re
from typing import NamedTuple
from xml.etree import ElementTree

from ssl_keras.errors import UserError

CHANNEL, PICTURE = "CSE", "ZTPRA"  # axes' letters: channel, sample, wavelength; depth, time, position, tile, angle
LONGEST_XML = 2**24
MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "µm": 1e-3, "μm": 1e-3, "um": 1e-3, "micron": 1e-3, "nm": 1e-6}


class Told(NamedTuple):
    """What the file says.

    Args:
        pages: pages in all: directories, or more where one stands for several that lie behind one another.
        pictures: the pages of each picture, one or several channels each; None: the file does not say.
        remark: for the user.
        spacing: height and width of a pixel, mm.
    """

    pages: int
    pictures: list[tuple[int, ...]] | None = None
    remark: str | None = None
    spacing: tuple[float, float] | None = None


def told(description: str, shape: tuple[int, ...], samples: int, pages: int, most: int, name: str) -> Told:
    """What a file's first page says.

    Args:
        description: its text.
        shape: of its numbers as they are stored, such as (H, W, S).
        samples: of each pixel.
        pages: directories of the file.
        most: pages that the file can hold where one directory stands for all.
        name: of the file, which OME-XML may name.

    Raises:
        UserError: what it says cannot be, or is of other files.
    """
    if description[-10:].strip().endswith("OME>"):
        return _ome(description, shape, samples, pages, name)
    if description.startswith("ImageJ="):
        return _imagej(description, samples, pages, most)
    if description.startswith('{"shape":'):
        return _shaped(description, shape, pages, most)
    return Told(pages)


def _imagej(description: str, samples: int, pages: int, most: int) -> Told:
    said = dict(re.findall(r"^(\w+)=(.*?)\s*$", description, re.M))
    sizes = {}
    for word in ("images", "channels", "slices", "frames"):
        if not re.fullmatch(r"[1-9]\d{0,8}", said.get(word, "1")):
            raise UserError(f"damaged TIFF: its ImageJ description says {word}={said[word]}")
        sizes[word] = int(said.get(word, "1"))
    frames, slices, channels = sizes["frames"], sizes["slices"], sizes["channels"]
    if channels == samples and pages in (1, frames * slices):  # the samples of each page, declared as channels
        channels = 1
    count = frames * slices * channels
    if said.get("hyperstack") != "true" or said.get("order", "czt").lower() != "czt":  # "slices" may be anything
        return Told(_held(sizes["images"], most) if pages == 1 else pages)
    if pages not in (1, count):
        raise UserError(f"damaged TIFF: its ImageJ description says {count} images, and it holds {pages}")
    _held(count, max(pages, most))
    remark = f"ImageJ hyperstack: {channels} channels, {slices} slices, {frames} frames" if count > 1 else None
    return Told(count, _grid(frames * slices, channels), remark)


def _held(count: int, most: int) -> int:
    """A count that a description claims; UserError where the file is too short for it."""
    if count > most:
        raise UserError(f"damaged TIFF: its description speaks of {count:,} images, and it can hold {most:,}")
    return count


def _grid(pictures: int, channels: int) -> list[tuple[int, ...]]:
    return [tuple(range(k * channels, (k + 1) * channels)) for k in range(pictures)]


def _shaped(description: str, page_shape: tuple[int, ...], pages: int, most: int) -> Told:
    try:
        said = json.loads(description)
        shape = [int(size) for size in said["shape"]]
        axes = str(said.get("axes", ""))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Told(pages)
    while len(shape) > len(page_shape) and shape[-1] == 1 and tuple(shape[-len(page_shape) :]) != page_shape:
        shape.pop()
    split = len(shape) - len(page_shape)
    if split < 0 or tuple(shape[split:]) != page_shape or any(size < 1 for size in shape) or len(shape) > 16:
        return Told(pages)
    count = 1
    for size in shape[:split]:
        count *= size
    if pages not in (1, count):
        return Told(pages)
    _held(count, max(pages, most))
    leading = [(axis, size) for axis, size in zip(axes, shape[:split]) if size > 1]
    if not axes or any(axis not in CHANNEL + PICTURE for axis, _ in leading):
        return Told(count)
    pictures: dict[tuple[int, ...], list[int]] = {}
    for page in range(count):
        rest, place = page, []
        for axis, size in reversed(leading):
            rest, at = divmod(rest, size)
            place += [at] * (axis in PICTURE)
        pictures.setdefault(tuple(place), []).append(page)
    names = ", ".join(f"{axis}: {size}" for axis, size in leading)
    return Told(count, [tuple(found) for found in pictures.values()], f"axes {names}" if leading else None)


def _ome(xml: str, shape: tuple[int, ...], samples: int, pages: int, name: str) -> Told:
    if len(xml) > LONGEST_XML or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise UserError("its OME-XML is too long, or defines entities: it is not read")
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"damaged TIFF: its OME-XML is cut off or wrong: {error}") from None
    if root.find("{*}BinaryOnly") is not None:
        raise UserError("its OME-XML lies in another file: save it as one OME-TIFF with its own")
    images = [image.find("{*}Pixels") for image in root.findall("{*}Image")]
    if not images or None in images:
        return Told(pages)
    pictures: list[tuple[int, ...]] = []
    for pixels in images:
        if len(pictures) >= pages:
            raise UserError(f"damaged TIFF: its OME-XML speaks of more than its {pages} pages")
        pictures += _pixels(pixels, samples, pages, (root.get("UUID"), name))
    first = images[0].attrib
    counts = ", ".join(f"{axis} {first.get(f'Size{axis}')}" for axis in "CZT")
    remark = f"OME-XML: {counts}" + (f", of {len(images)} images" if len(images) > 1 else "")
    return Told(pages, pictures, remark if pages > 1 else None, _spacing(first))


def _pixels(
    pixels: ElementTree.Element, samples: int, pages: int, own: tuple[str | None, str]
) -> list[tuple[int, ...]]:
    """The pages of each picture (time, depth) of an image of OME-XML."""
    order, sizes = pixels.get("DimensionOrder", "XYCZT"), {axis: _whole(pixels, f"Size{axis}", 1) for axis in "CZT"}
    if sorted(order) != sorted("XYCZT") or order[:2] != "XY":
        raise UserError(f"its OME-XML names the dimensions {order[:10]}, which are not read")
    if samples > 1 and sizes["C"] % samples == 0:
        sizes["C"] //= samples
    planes = sizes["C"] * sizes["Z"] * sizes["T"]
    if not 0 < planes <= pages:
        raise UserError(f"damaged TIFF: its OME-XML speaks of {planes} planes, and it holds {pages} pages")
    strides, stride = {}, 1
    for axis in order[2:]:
        strides[axis], stride = stride, stride * sizes[axis]
    place: dict[int, int] = {}
    for data in pixels.findall("{*}TiffData"):
        _check_own(data, own)
        page = _whole(data, "IFD", 0)
        firsts = {"C": _whole(data, "FirstC", 0), "Z": _whole(data, "FirstZ", 0), "T": _whole(data, "FirstT", 0)}
        start = sum(strides[axis] * at for axis, at in firsts.items())
        number = _whole(data, "PlaneCount", 1 if "IFD" in data.attrib else planes - min(start, planes))
        if start + number > planes or page + number > pages:
            raise UserError("damaged TIFF: its OME-XML names planes that there are not")
        place |= {start + k: page + k for k in range(number)}
    if not pixels.findall("{*}TiffData"):
        place = {k: k for k in range(planes)}
    if len(place) < planes:
        raise UserError(f"its OME-XML names the place of {len(place)} of {planes} planes: a part of it is missing")
    return [
        tuple(place[strides["T"] * t + strides["Z"] * z + strides["C"] * c] for c in range(sizes["C"]))
        for t in range(sizes["T"])
        for z in range(sizes["Z"])
    ]


def _check_own(data: ElementTree.Element, own: tuple[str | None, str]) -> None:
    """Raises UserError where planes lie in another file."""
    uuid = data.find("{*}UUID")
    if uuid is None or not uuid.get("FileName") or (uuid.text and uuid.text == own[0]):
        return
    if os.path.basename(uuid.get("FileName")) != own[1]:
        raise UserError(
            f"its planes lie in several files, such as {uuid.get('FileName')[:80]!r}: save it as one OME-TIFF"
        )


def _whole(element: ElementTree.Element, name: str, default: int) -> int:
    text = element.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", text):
        raise UserError(f"damaged TIFF: its OME-XML says {name}={text[:20]!r}")
    return int(text)


def _spacing(said: dict[str, str]) -> tuple[float, float] | None:
    try:
        sizes = [
            float(said[f"PhysicalSize{axis}"]) * MILLIMETRES[said.get(f"PhysicalSize{axis}Unit", "µm")] for axis in "YX"
        ]
    except (KeyError, ValueError):
        return None
    return (sizes[0], sizes[1]) if all(0 < size < 1e6 for size in sizes) else None
