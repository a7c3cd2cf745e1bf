"""Pages of TIFF files: channels or pictures, by OME-XML, ImageJ's or tifffile's words, or as the user says."""

import numpy as np
import pytest

from ssl_keras.data.readers import tiff
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.damage import refused_at_once
from tests.data.readers.tiff_files import ANY, only, tifffile, values, written


@pytest.mark.parametrize("kind", [{"ome": True}, {"imagej": True}, {}])
@pytest.mark.parametrize("axes", ["ZCYX", "TCYX", "CYX", "TYX", "ZYX", "TZCYX"])
def test_axes_of_the_file(tmp_path, axes, kind):
    sizes = {"T": 4, "Z": 2, "C": 3, "Y": 20, "X": 30}
    array = values("uint16", [sizes[axis] for axis in axes])
    how = {"photometric": "minisblack", "metadata": {"axes": axes}} | kind
    path = written(tmp_path / ("a.ome.tif" if "ome" in kind else "a.tif"), array, **how)
    expected = array[..., np.newaxis] if "C" not in axes else np.moveaxis(array, axes.index("C"), -1)
    expected = expected.reshape(-1, 20, 30, expected.shape[-1])
    found = tiff.facts(str(path), ReadOptions(pages="first"))  # the file's word goes first
    assert (found.count, found.shape) == (len(expected), expected.shape[1:]) and found.remark
    for k, each in enumerate(expected):
        np.testing.assert_array_equal(tiff.read(str(path), k, ANY).pixels, each)


def test_axes_in_another_order_and_one_directory_for_all_pages(tmp_path):
    array = values("uint16", (3, 5, 20, 30))
    path = written(tmp_path / "a.tif", array, photometric="minisblack", metadata={"axes": "CZYX"})
    np.testing.assert_array_equal(tiff.read(str(path), 2, ANY).pixels, np.moveaxis(array[:, 2], 0, -1))
    for how in ({"metadata": {"axes": "CZYX"}}, {"byteorder": ">", "metadata": {"axes": "CZYX"}}):
        path = written(tmp_path / "b.tif", array, photometric="minisblack", truncate=True, **how)
        assert tiff.facts(str(path), ANY).count == 5
        np.testing.assert_array_equal(tiff.read(str(path), 4, ANY).pixels, np.moveaxis(array[:, 4], 0, -1))
    array = values("uint8", (2, 20, 30, 3))
    path = written(tmp_path / "c.ome.tif", array, photometric="rgb", metadata={"axes": "ZYXS"})
    np.testing.assert_array_equal(tiff.read(str(path), 1, ANY).pixels, array[1])


def test_pages_are_asked_for(tmp_path):
    array = values("uint16", (5, 20, 30))
    path = str(written(tmp_path / "a.tif", array, photometric="minisblack", metadata=None))
    for act in (tiff.facts, lambda path, options: tiff.read(path, 0, options)):
        with pytest.raises(UserError, match=r"^it has 5 pages: set --pages=channels, images or first$"):
            act(path, ANY)
    as_channels, as_images, as_first = (ReadOptions(pages=pages) for pages in ("channels", "images", "first"))
    np.testing.assert_array_equal(only(path, as_channels).pixels, np.moveaxis(array, 0, -1))
    np.testing.assert_array_equal(only(path, as_first).pixels[..., 0], array[0])
    assert tiff.facts(path, as_images).count == 5
    np.testing.assert_array_equal(tiff.read(path, 3, as_images).pixels[..., 0], array[3])
    with pytest.raises(UserError, match="it has no picture 5"):
        tiff.read(path, 5, as_images)
    for how in ({}, {"truncate": True}, {"imagej": True, "metadata": {"hyperstack": False}}):
        other = str(written(tmp_path / "b.tif", array, photometric="minisblack", **how))
        with pytest.raises(UserError, match="it has 5 pages"):
            tiff.facts(other, ANY)
        np.testing.assert_array_equal(tiff.read(other, 3, as_images).pixels[..., 0], array[3])


def test_bands_that_were_saved_as_rows_are_told(tmp_path):
    path = written(tmp_path / "a.tif", values("uint16", (64, 64, 13)), photometric="minisblack")
    with pytest.raises(UserError, match=r"it has 64 pages: .* \[H, W, 13\] was meant, save it anew with planarconfig"):
        tiff.facts(str(path), ANY)


def test_pages_that_differ(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(values("uint16"), metadata=None)
        file.write(values("uint16", (16, 20)), metadata=None)
    with pytest.raises(UserError, match="differ in size or kind: set --pages=first"):
        tiff.facts(str(tmp_path / "a.tif"), ReadOptions(pages="images"))
    np.testing.assert_array_equal(only(tmp_path / "a.tif", ReadOptions(pages="first")).pixels[..., 0], values("uint16"))


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("kind", [{}, {"ome": True}])
def test_pyramids_are_read_in_full_resolution(tmp_path, within, kind):
    if kind and not within:
        pytest.skip("OME-TIFF has its smaller copies within")
    array = values("uint8", (64, 96, 3))
    with tifffile.TiffWriter(tmp_path / "a.tif", **kind) as file:
        how = {"photometric": "rgb", "tile": (16, 16)}
        file.write(array, subifds=2 if within else 0, **how)
        file.write(array[::2, ::2], subfiletype=1, **how)
        file.write(array[::4, ::4], subfiletype=1, **how)
    np.testing.assert_array_equal(only(tmp_path / "a.tif").pixels, array)
    assert "left out" in tiff.facts(str(tmp_path / "a.tif"), ANY).remark


def ome(path, pages, xml):
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, metadata=None, description=xml if page is pages[0] else None)
    return str(path)


def xml_of(inner, sizes=(1, 1, 1), order="XYCZT", more=""):
    c, z, t = sizes
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{more}<Image><Pixels '
        f'DimensionOrder="{order}" Type="uint16" SizeX="47" SizeY="33" SizeC="{c}" SizeZ="{z}" SizeT="{t}" '
        f'PhysicalSizeX="0.5" PhysicalSizeY="500" PhysicalSizeYUnit="nm">{inner}</Pixels></Image></OME>'
    )


def test_places_in_ome_xml(tmp_path):
    pages = [values("uint16", seed=k) for k in range(6)]
    path = ome(tmp_path / "a.tif", pages, xml_of("<TiffData/>", (2, 3, 1), "XYZCT"))
    assert tiff.facts(path, ANY).spacing == (0.0005, 0.0005)
    np.testing.assert_array_equal(tiff.read(path, 1, ANY).pixels, np.stack([pages[1], pages[4]], -1))
    inner = "".join(f'<TiffData FirstC="{k % 2}" FirstZ="{k // 2}" IFD="{5 - k}"/>' for k in range(6))
    path = ome(tmp_path / "b.tif", pages, xml_of(inner, (2, 3, 1)))
    np.testing.assert_array_equal(tiff.read(path, 0, ANY).pixels, np.stack([pages[5], pages[4]], -1))
    inner = '<TiffData IFD="0" PlaneCount="6"><UUID FileName="c.tif">urn:uuid:1</UUID></TiffData>'
    assert tiff.facts(ome(tmp_path / "c.tif", pages, xml_of(inner, (2, 3, 1))), ANY).count == 3


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (xml_of("<TiffData/>", (10**8, 1, 1)), "speaks of 100000000 planes"),
        (xml_of("<TiffData/>", (4, 4, 1)), "speaks of 16 planes"),
        (xml_of('<TiffData IFD="4" PlaneCount="6"/>', (2, 3, 1)), "names planes that there are not"),
        (xml_of('<TiffData IFD="0"/>', (2, 3, 1)), "a part of it is missing"),
        (xml_of('<TiffData IFD="-1"/>', (2, 3, 1)), "says IFD='-1'"),
        (xml_of('<TiffData IFD="0"><UUID FileName="../x.tif">u</UUID></TiffData>', (2, 3, 1)), "several files"),
        (xml_of("<TiffData/>", (2, 3, 1), "XYABC"), "names the dimensions"),
        (xml_of("<TiffData/>", (2, 3, 1)).replace("<OME", "<!DOCTYPE a><OME"), "defines entities"),
        (xml_of("<TiffData/>", (2, 3, 1)).replace("<Image>", "<Images>"), "OME-XML is cut off or wrong"),
        (xml_of("", (2, 3, 1), more='<BinaryOnly MetadataFile="a.xml"/>'), "lies in another file"),
        ("ImageJ=1.53\nimages=6\nslices=7\nhyperstack=true\n", "says 7 images, and it holds 6"),
        ("ImageJ=1.53\nimages=6\nslices=-7\nhyperstack=true\n", "says slices=-7"),
    ],
)
def test_descriptions_that_cannot_be(tmp_path, xml, reason):
    path = ome(tmp_path / "a.tif", [values("uint16", seed=k) for k in range(6)], xml)
    with pytest.raises(UserError, match=reason):
        tiff.facts(path, ANY)


@pytest.mark.parametrize(
    "description",
    ["ImageJ=1.5\nimages=900000000\nslices=900000000\nhyperstack=true\n", "ImageJ=1.5\nimages=900000000\n",
     '{"shape": [900000000, 33, 47], "axes": "ZYX"}', '{"shape": [900000000, 33, 47]}'],
)  # fmt: skip
def test_a_description_of_many_pages_in_one_directory(tmp_path, description):
    path = written(tmp_path / "a.tif", values("uint16"), description=description, metadata=None)
    assert "its description speaks of 900,000,000 images, and it can hold 1" in refused_at_once(tiff, path)


def test_real_colour_tables_of_a_stack_are_for_display(tmp_path):
    table = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    array = values("uint8", (2, 33, 47))
    path = written(tmp_path / "a.tif", array, photometric="palette", colormap=table, metadata=None)
    found = only(path, ReadOptions(pages="channels")).pixels
    np.testing.assert_array_equal(found, np.moveaxis(array, 0, -1))
    found = only(path, ReadOptions(pages="first")).pixels
    np.testing.assert_array_equal(found, (table >> 8).T[array[0]])
