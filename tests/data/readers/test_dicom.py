"""DICOM: every real file read or refused with its reason, made ones of every kind of number.

What is expected of real files comes from pydicom's own arrays and tables.
"""

import struct

import numpy as np
import pytest

from ssl_keras.data.readers import dicom
from ssl_keras.data.readers.contract import NoPictureError, ReadOptions
from ssl_keras.errors import UserError
from tests.data.readers.dicoms import made, numbers

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: pip install -r requirements-imaging.txt")

OPTIONS = ReadOptions()
# Of each real file: pictures, shape, dtype, and the share of pixels that are measured (None: no mask).
READ = {
    "6154": (1, (16, 16, 1), "float32", None),
    "6247": (1, (16, 16, 1), "float32", None),
    "6278": (1, (16, 16, 1), "float32", None),
    "693_J2KI.dcm": (1, (512, 512, 1), "int16", 0.9981),  # lossy: most of its padding is no more exact
    "693_J2KR.dcm": (1, (512, 512, 1), "int32", 0.7872),
    "CT_small.dcm": (1, (128, 128, 1), "int32", 1.0),
    "J2K_pixelrep_mismatch.dcm": (1, (512, 512, 1), "int16", None),
    "JPEG-lossy.dcm": (1, (1024, 256, 1), "uint16", None),  # of 12 bits
    "JPGExtended.dcm": (1, (1024, 256, 1), "uint16", None),
    "JPEG-LL.dcm": (1, (1024, 256, 1), "int16", None),
    "JPEG2000.dcm": (1, (1024, 256, 1), "int16", None),
    "JPEGLSNearLossless_16.dcm": (1, (50, 10, 1), "uint16", None),
    "MR_small.dcm": (1, (64, 64, 1), "int16", None),
    "MR_small_RLE.dcm": (1, (64, 64, 1), "int16", None),
    "MR_small_bigendian.dcm": (1, (64, 64, 1), "int16", None),
    "MR_small_implicit.dcm": (1, (64, 64, 1), "int16", None),
    "MR_small_jpeg_ls_lossless.dcm": (1, (64, 64, 1), "int16", None),
    "OBXXXX1A_rle.dcm": (1, (600, 800, 3), "uint16", None),
    "OBXXXX1A_rle_2frame.dcm": (2, (600, 800, 3), "uint16", None),
    "SC_rgb_16bit.dcm": (1, (100, 100, 3), "uint16", None),
    "SC_rgb_rle_16bit_2frame.dcm": (2, (100, 100, 3), "uint16", None),
    "SC_rgb_small_odd.dcm": (1, (3, 3, 3), "uint8", None),
    "SC_ybr_full_422_uncompressed.dcm": (1, (100, 100, 3), "uint8", None),
    "US1_J2KI.dcm": (1, (480, 640, 3), "uint8", None),
    "color-pl.dcm": (1, (120, 256, 3), "uint8", None),
    "eCT_Supplemental.dcm": (2, (512, 512, 1), "int32", 0.6785),  # the rest stands for colors
    "emri_small.dcm": (10, (64, 64, 1), "uint16", None),
    "emri_small_RLE.dcm": (10, (64, 64, 1), "uint16", None),
    "emri_small_jpeg_2k_lossless_too_short.dcm": (10, (64, 64, 1), "uint16", None),  # all frames are there
    "mlut_18.dcm": (1, (512, 512, 1), "uint16", None),
    "vlut_04.dcm": (1, (512, 512, 1), "uint8", None),
}
REFUSED = {
    "MR_truncated.dcm": (UserError, "^damaged DICOM: cut off, 8,192 bytes of pixels expected, 8,130 found$"),
    "badVR.dcm": (NoPictureError, "^DICOM, but a radiotherapy plan or dose, no image$"),
    "liver.dcm": (NoPictureError, "^DICOM, but a segmentation, no image$"),
    "reportsi.dcm": (NoPictureError, "^DICOM, but a structured report, no image$"),
    "rtdose.dcm": (NoPictureError, "^DICOM, but a radiotherapy plan or dose, no image$"),
}
LOSSLESS = ("JPEG-LL.dcm", "JPEG-lossy.dcm", "JPGExtended.dcm")
NEEDED = dict.fromkeys(LOSSLESS, "imagecodecs") | dict.fromkeys([n for n in READ if "LS" in n or "_ls" in n], "jpeg_ls")


def test_the_tables_name_all_real_files(real_data):
    found = {path.name for path in (real_data / "dicom").iterdir() if not path.name.startswith("LICENSE")}
    assert found == {*READ, *REFUSED}


@pytest.mark.parametrize("name", READ)
def test_real_file_is_read(real_data, name):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name], reason=f"no decoder: {NEEDED[name]} is not installed")
    path = real_data / "dicom" / name
    count, shape, dtype, measured = READ[name]
    facts = dicom.facts(path, OPTIONS)
    assert (facts.count, facts.shape, facts.dtype) == (count, shape, dtype)
    assert dicom.is_one(path.read_bytes()[:4096])
    for number in range(count):
        picture = dicom.read(path, number, OPTIONS)
        assert (picture.pixels.shape, picture.pixels.dtype) == (shape, dtype)
        if number == 0:
            share = picture.valid
            assert (share is None) == (measured is None) and (share is None or abs(share.mean() - measured) < 1e-4)
        if "too_short" not in name and name not in LOSSLESS:  # which pydicom finds no pixels in, or needs more for
            np.testing.assert_allclose(picture.pixels, by_pydicom(path, number).reshape(shape), rtol=1e-6, atol=1e-3)


def test_twelve_bit_jpeg_and_lossless_have_known_values(real_data):
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    lossless, extended = (dicom.read(real_data / "dicom" / name, 0, OPTIONS).pixels[..., 0] for name in LOSSLESS[::2])
    assert extended[420, 140] == 244  # as pydicom's tests have it, by pylibjpeg
    assert (lossless.min(), lossless.max(), lossless.sum()) == (0, 278, 3596452)  # as GDCM decodes it
    smooth = slice(100, 900)
    assert np.abs(lossless[smooth].astype(int) - extended[smooth]).mean() < 3  # of one picture


def by_pydicom(path, number):
    """A frame by pydicom's own functions; what it lacks, here: enhanced rescaling, MONOCHROME1."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    data = pydicom.dcmread(path)
    found = pixel_array(data, index=number)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(found, data)
    if "SharedFunctionalGroupsSequence" in data:
        item = data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
        return found * item.RescaleSlope + float(item.RescaleIntercept)
    found = apply_modality_lut(found, data)
    if data.PhotometricInterpretation == "MONOCHROME1":
        greatest = (2**data.BitsStored - 1) * float(data.RescaleSlope) + float(data.RescaleIntercept)
        return greatest + float(data.RescaleIntercept) - found
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_real_file_is_refused(real_data, name):
    kind, reason = REFUSED[name]
    path = real_data / "dicom" / name
    assert dicom.is_one(path.read_bytes()[:4096])
    for ask in (lambda: dicom.facts(path, OPTIONS), lambda: dicom.read(path, 0, OPTIONS)):
        with pytest.raises(UserError, match=reason) as error:
            ask()
        assert error.type is kind


def test_frames_of_one_image_agree_however_they_are_packed(real_data):
    folder = real_data / "dicom"
    for number in range(10):
        plain, *others = (
            dicom.read(folder / f"emri_small{kind}.dcm", number, OPTIONS).pixels
            for kind in ("", "_RLE", "_jpeg_2k_lossless_too_short")
        )
        for other in others:
            np.testing.assert_array_equal(other, plain)


def test_padding_is_masked_where_it_is_stored(real_data):
    picture = dicom.read(real_data / "dicom" / "693_J2KR.dcm", 0, OPTIONS)
    assert set(picture.pixels[~picture.valid].tolist()[0]) == {-3024}
    assert picture.pixels[picture.valid].min() > -1100  # without it: air


def test_group_is_a_hash_and_no_text_of_the_header_is_told(real_data):
    folder = real_data / "dicom"
    groups = [dicom.facts(folder / name, OPTIONS).group for name in ("693_J2KI.dcm", "693_J2KR.dcm", "CT_small.dcm")]
    assert groups[0] == groups[1] != groups[2] and len(groups[0]) == 16
    assert "CQ500" not in repr(dicom.facts(folder / "693_J2KI.dcm", OPTIONS))
    assert dicom.facts(folder / "emri_small.dcm", OPTIONS).group is None


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32"])
def test_whole_numbers(tmp_path, dtype):
    stored = numbers(dtype)
    expected = {"int8": "int16", "uint32": "float32"}.get(dtype, dtype)
    path = made(tmp_path, stored)
    assert dicom.facts(path, OPTIONS).dtype == expected
    np.testing.assert_array_equal(dicom.read(path, 0, OPTIONS).pixels[..., 0], stored.astype(expected))
    turned = dicom.read(made(tmp_path, stored, "b.dcm", PhotometricInterpretation="MONOCHROME1"), 0, OPTIONS).pixels
    limits = np.iinfo(dtype)
    np.testing.assert_array_equal(turned[..., 0], (limits.min + limits.max - stored.astype(float)).astype(expected))


@pytest.mark.parametrize(
    ("slope", "intercept", "bits", "dtype"),
    [
        (1, -1024, 12, "int16"),
        (1, -1024, 16, "int32"),
        (2, 0, 12, "uint16"),
        (0.5, 3, 12, "float32"),
        (-1, 0, 8, "int16"),
    ],
)
def test_rescaled_numbers_and_the_bits_above(tmp_path, slope, intercept, bits, dtype):
    stored = numbers("uint16")
    fields = {"BitsStored": bits, "RescaleSlope": slope, "RescaleIntercept": intercept}
    expected = (stored & (2**bits - 1)) * float(slope) + intercept
    path = made(tmp_path, stored, **fields)
    picture = dicom.read(path, 0, OPTIONS)
    assert picture.pixels.dtype == dicom.facts(path, OPTIONS).dtype == dtype
    np.testing.assert_array_equal(picture.pixels[..., 0], expected)
    turned = dicom.read(made(tmp_path, stored, "b.dcm", PhotometricInterpretation="MONOCHROME1", **fields), 0, OPTIONS)
    assert turned.pixels.dtype == dtype
    np.testing.assert_array_equal(turned.pixels[..., 0], (2**bits - 1) * slope + 2 * intercept - expected)


def test_signed_numbers_of_twelve_bits(tmp_path):
    stored = np.array([[0, 1, 0x7FF, 0x800, 0xFFF, 0xF800 - 0x10000]], "int16")
    path = made(tmp_path, stored, BitsStored=12)
    np.testing.assert_array_equal(dicom.read(path, 0, OPTIONS).pixels[0, :, 0], [0, 1, 2047, -2048, -1, -2048])


@pytest.mark.parametrize(
    ("dtype", "fields", "padded"),
    [
        ("int16", {"PixelPaddingValue": -2000}, [-2000]),
        ("int16", {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1998}, [-2000, -1999, -1998]),
        ("int16", {"PixelPaddingValue": -1998, "PixelPaddingRangeLimit": -2000}, [-2000, -1999, -1998]),
        ("uint16", {"PixelPaddingValue": 63536}, [63536]),
        ("uint16", {"PixelPaddingValue": 0}, [0]),
    ],
)
def test_padding(tmp_path, dtype, fields, padded):
    stored = np.array([[0, 5, 7], *([value] * 3 for value in padded), [9, 9, 9]]).astype(dtype)
    picture = dicom.read(made(tmp_path, stored, RescaleSlope=1, RescaleIntercept=-1000, **fields), 0, OPTIONS)
    np.testing.assert_array_equal(picture.valid, ~np.isin(stored, padded))
    np.testing.assert_array_equal(picture.pixels[..., 0], stored.astype(int) - 1000)


def test_padding_that_is_beyond_the_bits_it_has(tmp_path):
    stored = np.array([[63536, 2096, 5]], "uint16")  # -2000 among 12 bits, whose low bits are 1,536
    picture = dicom.read(made(tmp_path, stored, BitsStored=12, PixelPaddingValue=63536), 0, OPTIONS)
    np.testing.assert_array_equal(picture.valid, [[False, True, True]])


def test_padding_of_the_other_sign(tmp_path):
    path = made(tmp_path, np.array([[-2000, 5, 7]], "int16"), PixelPaddingValue=-2000)
    file = path.read_bytes()
    at = file.index(struct.pack("<HH2sHh", 0x28, 0x120, b"SS", 2, -2000))
    path.write_bytes(file[: at + 4] + b"US" + file[at + 6 :])  # 63536, by a writer that knows no sign
    np.testing.assert_array_equal(dicom.read(path, 0, OPTIONS).valid, [[False, True, True]])


def test_floats(tmp_path):
    stored = np.array([[0.5, np.nan, -7.25], [1e30, -2, 3]], "float32")
    path = made(tmp_path, stored, FloatPixelPaddingValue=-2.0)
    picture = dicom.read(path, 0, OPTIONS)
    assert dicom.facts(path, OPTIONS).dtype == "float32"
    np.testing.assert_array_equal(picture.pixels[..., 0], stored)
    np.testing.assert_array_equal(picture.valid, stored != -2)
    double = dicom.read(made(tmp_path, stored.astype(float), "b.dcm"), 0, OPTIONS)
    np.testing.assert_array_equal(double.pixels[..., 0], stored)


def test_enhanced_frames_have_scales_of_their_own(tmp_path):
    from pydicom.dataset import Dataset

    def group(slope):
        item, outer = Dataset(), Dataset()
        item.RescaleSlope, item.RescaleIntercept = slope, 1
        outer.PixelValueTransformationSequence = [item]
        return outer

    stored = numbers("uint16", (4, 3, 5))
    fields = {"Rows": 3, "Columns": 5, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    fields |= {"NumberOfFrames": 4, "PerFrameFunctionalGroupsSequence": [group(slope) for slope in (1, 2, 0.5, 4)]}
    path = made(tmp_path, stored, **fields)
    assert dicom.facts(path, OPTIONS).dtype == "float32" and dicom.facts(path, OPTIONS).count == 4
    for number, slope in enumerate((1, 2, 0.5, 4)):
        found = dicom.read(path, number, OPTIONS)
        np.testing.assert_array_equal(found.pixels[..., 0], stored[number] * np.float32(slope) + 1)
        assert found.pixels.dtype == "float32"
    with pytest.raises(UserError, match="4 pictures: none of the number 4"):
        dicom.read(path, 4, OPTIONS)
    fields["PerFrameFunctionalGroupsSequence"] = fields["PerFrameFunctionalGroupsSequence"][:3]
    with pytest.raises(UserError, match="some have none"):
        dicom.facts(made(tmp_path, stored, "b.dcm", **fields), OPTIONS)


def test_colours(tmp_path):
    from pydicom.pixels import convert_color_space

    stored = numbers("uint8", (6, 4, 3))
    np.testing.assert_array_equal(dicom.read(made(tmp_path, stored), 0, OPTIONS).pixels, stored)
    planes = np.moveaxis(stored, -1, 0).copy()
    fields = {"Rows": 6, "Columns": 4, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}
    planar = made(tmp_path, planes, "b.dcm", PlanarConfiguration=1, **fields)
    np.testing.assert_array_equal(dicom.read(planar, 0, OPTIONS).pixels, stored)
    ybr = made(tmp_path, stored, "c.dcm", PhotometricInterpretation="YBR_FULL")
    np.testing.assert_array_equal(dicom.read(ybr, 0, OPTIONS).pixels, convert_color_space(stored, "YBR_FULL", "RGB"))


@pytest.mark.parametrize(("dtype", "bits", "factor"), [("uint8", 8, 1), ("uint16", 16, 256), ("uint16", 8, 256)])
def test_palette(tmp_path, dtype, bits, factor):
    table = np.random.default_rng(3).integers(1, 256, (50, 3))
    fields = {"PhotometricInterpretation": "PALETTE COLOR"}
    for column, colour in zip(table.T, ("Red", "Green", "Blue")):
        fields[f"{colour}PaletteColorLookupTableDescriptor"] = [50, 10, bits]
        fields[f"{colour}PaletteColorLookupTableData"] = (column * factor).astype(dtype).tobytes()
    stored = np.arange(80, dtype=np.uint8).reshape(8, 10)
    path = made(tmp_path, stored, **fields)
    expected = table[np.clip(stored.astype(int) - 10, 0, 49)] * (factor if bits == 16 else 1)
    picture = dicom.read(path, 0, OPTIONS)
    np.testing.assert_array_equal(picture.pixels, expected)
    assert dicom.facts(path, OPTIONS).shape == (8, 10, 3) and picture.pixels.dtype == f"uint{bits}"


def test_a_data_set_without_preamble(tmp_path):
    stored = numbers("uint16")
    file = made(tmp_path, stored).read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(file[132:])  # from the file's meta on
    np.testing.assert_array_equal(dicom.read(bare, 0, OPTIONS).pixels[..., 0], stored)
    bare.write_bytes(file[file.index(struct.pack("<HH2s", 8, 0x16, b"UI")) :])
    np.testing.assert_array_equal(dicom.read(bare, 0, OPTIONS).pixels[..., 0], stored)
    implicit = made(tmp_path, stored, "i.dcm", syntax="1.2.840.10008.1.2").read_bytes()
    bare.write_bytes(implicit[implicit.index(struct.pack("<HHI", 8, 0x16, 26)) :])
    assert dicom.is_one(bare.read_bytes()[:4096])
    np.testing.assert_array_equal(dicom.read(bare, 0, OPTIONS).pixels[..., 0], stored)
