"""Small files of measurements of every kind that the readers know, of 13 x 21 pixels, for the fuzz test."""

import functools
import gzip
import importlib.util
import io
import os
import tempfile
from pathlib import Path

import numpy as np

from tests.data.readers.dicoms import made
from tests.data.seeds import NOISE, SMOOTH, encoded, image
from tests.data.tiffs import LZW, NONE, PACKBITS, ZIP, ZSTD, tiff

GRAY = NOISE[..., 0]
DEEP = np.add.outer(97 * np.arange(13), 55 * np.arange(21)).astype(np.uint16)  # 12 bits
BANDS = np.stack([DEEP + 100 * k for k in range(5)], -1)
VOLUME = np.random.default_rng(9).integers(-1000, 3000, (13, 21, 3)).astype(np.int16)
LARGEST_REAL = 20_000  # bytes


@functools.cache
def plain_tiff_seeds() -> list[bytes]:
    colors, gray = SMOOTH[..., :3].astype(np.uint32), DEEP[..., np.newaxis].astype(np.uint32)
    found = [tiff(colors, 8, 2, packing=packing, rows=5) for packing in (NONE, LZW, ZIP, PACKBITS, ZSTD)]
    found += [tiff(gray, 16, 1, order=order, packing=ZIP, predictor=2) for order in "<>"]
    found += [tiff(gray, 12, 1, packing=packing) for packing in (NONE, LZW)]
    found += [tiff(colors, 8, 2, packing=LZW, tile=(16, 16)), tiff(colors, 8, 2, planar=True, packing=ZIP)]
    found += [tiff(gray, 16, 1, big=True, packing=LZW), tiff(gray % 2, 1, 0, fill_order=2)]
    found.append(tiff(gray % 16, 4, 3, t320=tuple(range(48))))
    found.append(tiff(SMOOTH.astype(np.uint32), 8, 5, packing=LZW))
    for packing in ("group3", "group4", "tiff_ccitt"):
        found.append(encoded(image("1"), "TIFF", compression=packing))
    return [*found, encoded(image("RGB", SMOOTH), "TIFF", compression="jpeg")]


@functools.cache
def measured_tiff_seeds() -> list[bytes]:
    import tifffile

    floats = BANDS.astype(np.float32) / 7
    kinds = [
        *((BANDS, {"compression": packing}) for packing in (None, "lzw", "zlib", "zstd", "packbits")),
        (BANDS, {"tile": (16, 16), "compression": "zlib", "predictor": True}),
        (BANDS, {"tile": (16, 16), "bigtiff": True, "byteorder": ">"}),
        (np.moveaxis(BANDS, -1, 0), {"planarconfig": "separate", "compression": "lzw"}),
        (floats, {"rowsperstrip": 4, "compression": "zlib", "predictor": True}),
        (floats[..., 0].astype(np.float64), {"extratags": [(42113, "s", 0, "-9999", True)]}),
        (floats[..., 0].astype(np.float16), {"compression": "zstd"}),
        (DEEP, {"compression": "jpeg2000"}),
        (VOLUME[..., 0], {"compression": "zlib"}),
        (SMOOTH[..., :3], {"compression": "jpeg", "photometric": "rgb", "tile": (16, 16)}),
        (GRAY, {"compression": "jpeg"}),
        (SMOOTH, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (GRAY, {"photometric": "palette", "colormap": np.arange(768, dtype=np.uint16).reshape(3, 256) * 80}),
        (np.moveaxis(BANDS, -1, 0), {"ome": True, "metadata": {"axes": "CYX"}}),
        (np.moveaxis(BANDS, -1, 0), {"imagej": True, "metadata": {"axes": "ZYX"}}),
        (np.moveaxis(BANDS, -1, 0), {"metadata": {"axes": "ZYX"}}),
        (GRAY > 100, {"compression": "packbits"}),
    ]
    found = []
    for array, how in kinds:
        if array.ndim == 3 and "photometric" not in how:
            how = {"photometric": "minisblack", "planarconfig": "contig", **how} if array.shape[-1] == 5 else how
        file = io.BytesIO()
        tifffile.imwrite(file, array, **{"metadata": None, **how} if "imagej" not in how else how)
        found.append(file.getvalue())
    two = io.BytesIO()
    with tifffile.TiffWriter(two) as file:
        for page in (DEEP, DEEP[::-1]):
            file.write(page, contiguous=False, metadata=None, compression="lzw")
    return [*found, two.getvalue()]


@functools.cache
def dicom_seeds() -> list[bytes]:
    """Of each transfer syntax that is read, made here; and the small real ones where they are."""
    import imagecodecs

    twelve = {"BitsStored": 12, "HighBit": 11}
    scaled = {"RescaleSlope": 2, "RescaleIntercept": -1024, "PixelPaddingValue": 0, "PixelSpacing": [0.5, 0.5]}
    colors, size = SMOOTH[..., :3], GRAY.shape
    extended = imagecodecs.jpeg8_encode(DEEP, bitspersample=12)
    jpeg = encoded(image("RGB", SMOOTH), "JPEG")
    made_of = [
        (DEEP, {**twelve, **scaled}),
        (GRAY, {"PhotometricInterpretation": "MONOCHROME1"}),
        (VOLUME[..., 0], {"syntax": "1.2.840.10008.1.2"}),
        (np.zeros(size, np.float32), {}),
        (colors, {"PlanarConfiguration": 0}),
        (DEEP, {**twelve, "syntax": "1.2.840.10008.1.2.5", "frame": _rle(DEEP)}),
        (GRAY, {"syntax": "1.2.840.10008.1.2.4.50", "frame": encoded(image("L"), "JPEG")}),
        (colors, {"syntax": "1.2.840.10008.1.2.4.50", "frame": jpeg, "PhotometricInterpretation": "YBR_FULL_422"}),
        (DEEP, {**twelve, "syntax": "1.2.840.10008.1.2.4.51", "frame": extended}),
        (DEEP, {"syntax": "1.2.840.10008.1.2.4.70", "frame": imagecodecs.ljpeg_encode(DEEP)}),
        (DEEP, {**scaled, "syntax": "1.2.840.10008.1.2.4.80", "frame": imagecodecs.jpegls_encode(DEEP)}),
        (GRAY, {"syntax": "1.2.840.10008.1.2.4.81", "frame": imagecodecs.jpegls_encode(GRAY, level=3)}),
        (DEEP, {"syntax": "1.2.840.10008.1.2.4.90", "frame": imagecodecs.jpeg2k_encode(DEEP, codecformat="j2k")}),
        (
            colors.astype(np.uint16),
            {
                "syntax": "1.2.840.10008.1.2.4.91",
                "frame": imagecodecs.jpeg2k_encode(colors.astype(np.uint16) * 200, codecformat="j2k"),
            },
        ),
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for pixels, how in made_of:
            found.append(made(Path(folder), pixels, **how).read_bytes())
    real = Path(os.environ.get("SSL_KERAS_TEST_DATA", "/nowhere")) / "dicom"
    return found + [path.read_bytes() for path in sorted(real.glob("[!L]*")) if path.stat().st_size < LARGEST_REAL]


def _rle(pixels: np.ndarray) -> bytes:
    from pydicom.pixels.encoders.base import EncodeRunner
    from pydicom.pixels.encoders.native import _encode_frame

    runner = EncodeRunner("1.2.840.10008.1.2.5")
    runner.set_options(
        rows=13, columns=21, samples_per_pixel=1, bits_allocated=16, bits_stored=12, pixel_representation=0,
        number_of_frames=1, photometric_interpretation="MONOCHROME2",
    )  # fmt: skip
    return bytes(_encode_frame(pixels.tobytes(), runner))


@functools.cache
def nifti_seeds() -> list[bytes]:
    import nibabel

    affine = np.diag([0.5, 0.75, 2, 1])
    volumes = [VOLUME, VOLUME.astype(np.float32), VOLUME.astype(np.uint8), np.stack([VOLUME] * 2, -1)]
    found = [nibabel.Nifti1Image(volume, affine, dtype=volume.dtype) for volume in volumes]
    found.append(nibabel.Nifti2Image(VOLUME, affine, dtype=VOLUME.dtype))
    scaled = nibabel.Nifti1Image(VOLUME, affine, dtype=VOLUME.dtype)
    scaled.header.set_slope_inter(2.0, -5.0)
    big = nibabel.Nifti1Image(VOLUME, affine, nibabel.Nifti1Header(endianness=">"), dtype=VOLUME.dtype)
    return [each.to_bytes() for each in (*found, scaled, big)]


@functools.cache
def packed_nifti_seeds() -> list[bytes]:
    return [gzip.compress(data, mtime=0) for data in nifti_seeds()]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@functools.cache
def npy_seeds() -> list[bytes]:
    stack = np.stack([DEEP] * 3)
    return [_npy(array) for array in (stack, stack.astype(">i2"), SMOOTH[np.newaxis], np.asfortranarray(stack))]


@functools.cache
def npz_seeds() -> list[bytes]:
    found, stack = [], np.stack([GRAY] * 4)
    splits = {"train_images": stack, "train_labels": np.arange(4)[:, np.newaxis], "test_images": stack[:2]}
    for save in (np.savez, np.savez_compressed):
        for arrays in (splits, {"x": np.stack([DEEP] * 3)}):
            file = io.BytesIO()
            save(file, **arrays)
            found.append(file.getvalue())
    return found


@functools.cache
def hdf5_seeds() -> list[bytes]:
    import h5py

    found, stack = [], np.stack([DEEP] * 3)
    kinds = [
        {},
        {"chunks": (1, 13, 21), "compression": "gzip", "shuffle": True},
        {"chunks": (2, 8, 8), "compression": "gzip", "fletcher32": True},
        {"chunks": (1, 13, 21), "compression": "lzf"},
        {"chunks": (3, 13, 21), "maxshape": (None, 13, 21)},
    ]
    for versions in ("earliest", "latest"):
        for kind in kinds:
            file = io.BytesIO()
            with h5py.File(file, "w", libver=versions) as opened:
                opened.create_dataset("a/images", data=stack, **kind)
                opened.create_dataset("labels", data=np.arange(3))
            found.append(file.getvalue())
    return found


@functools.cache
def exr_seeds() -> list[bytes]:
    import OpenEXR

    found = []
    packings = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.exr")
        for packing in packings:
            for channels in (
                {"RGB": (SMOOTH[..., :3] / 255).astype(np.float16)},
                {"Z": DEEP.astype(np.float32), "A": (GRAY > 50).astype(np.float32), "id": DEEP.astype(np.uint32)},
            ):
                header = {"compression": getattr(OpenEXR, f"{packing}_COMPRESSION"), "type": OpenEXR.scanlineimage}
                OpenEXR.File(header, channels).write(path)
                found.append(Path(path).read_bytes())
    return found


@functools.cache
def pfm_seeds() -> list[bytes]:
    floats = SMOOTH.astype("<f4") / 3
    return [
        b"Pf\n21 13\n-1.0\n" + floats[..., 0].tobytes(),
        b"PF\n21 13\n-1\n" + floats[..., :3].tobytes(),
        b"Pf 21 13 2.5e0\n" + floats[..., 0].astype(">f4").tobytes(),
    ]


MEASURED = {
    "tiff_measured": measured_tiff_seeds,
    "dicom": dicom_seeds,
    "nifti": nifti_seeds,
    "nifti_gz": packed_nifti_seeds,
    "npy": npy_seeds,
    "npz": npz_seeds,
    "hdf5": hdf5_seeds,
    "exr": exr_seeds,
    "pfm": pfm_seeds,
}
NEEDS = {"exr": "OpenEXR", "dicom": "pydicom", "tiff_measured": "tifffile", "nifti": "nibabel", "nifti_gz": "nibabel"}


def is_there(form: str) -> bool:
    """Whether the package is installed that files of a format need."""
    return importlib.util.find_spec(NEEDS.get(form, "numpy")) is not None
