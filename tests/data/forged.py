"""Small files whose headers claim 10^10 pixels or more, or another size than their picture's, of every format."""

import gzip
import io
import struct
import zipfile

import numpy as np

from tests.data.readers.dicoms import made
from tests.data.readers.test_exr import exr_of
from tests.data.seeds import NOISE, SMOOTH, bmp, encoded, gif_seeds, image, jpeg_seeds, png, png_chunk, webp_seeds
from tests.data.tiffs import LZW, NONE, ZIP, tiff

GRAY = NOISE[..., 0]
DEEP = np.add.outer(97 * np.arange(13), 55 * np.arange(21)).astype(np.uint16)
HUGE = 65_535
SIZE = struct.pack(">HH", 13, 21)  # in a JPEG's frame header


def with_size(frame: bytes, height: int = 200, width: int = 300) -> bytes:
    """A JPEG of any kind that claims another size."""
    assert SIZE in frame
    return frame.replace(SIZE, struct.pack(">HH", height, width), 1)


def dicoms(folder):
    import imagecodecs

    def of(pixels=GRAY, **how):
        return made(folder, pixels, **how).read_bytes()

    jpegls, lossless = imagecodecs.jpegls_encode(DEEP), imagecodecs.ljpeg_encode(DEEP)
    j2k = imagecodecs.jpeg2k_encode(DEEP, codecformat="j2k")
    large_j2k = j2k.replace(struct.pack(">II", 21, 13), struct.pack(">II", 60_000, 60_000), 2)
    syntax, twelve = "1.2.840.10008.1.2.4.", {"BitsStored": 12, "HighBit": 11}
    return {
        "rows and columns": of(Rows=HUGE, Columns=HUGE),
        "rows and columns of deep color": of(SMOOTH[..., :3].astype(np.uint16), Rows=HUGE, Columns=HUGE),
        "frames": of(NumberOfFrames=2_000_000),
        "rows of RLE": of(syntax="1.2.840.10008.1.2.5", frame=bytes(80), Rows=HUGE, Columns=HUGE),
        "frames of RLE": of(syntax="1.2.840.10008.1.2.5", frame=bytes(80), NumberOfFrames=2_000_000),
        "JPEG 2000 of another size": of(DEEP, syntax=f"{syntax}90", frame=large_j2k),
        "JPEG-LS of another size": of(DEEP, syntax=f"{syntax}80", frame=with_size(jpegls)),
        "JPEG of another size": of(syntax=f"{syntax}50", frame=with_size(encoded(image("L"), "JPEG"), HUGE, HUGE)),
        "JPEG Lossless of another size": of(DEEP, syntax=f"{syntax}70", frame=with_size(lossless)),
        "12-bit JPEG of another size": of(
            DEEP, syntax=f"{syntax}51", frame=with_size(imagecodecs.jpeg8_encode(DEEP, bitspersample=12)), **twelve
        ),
    }


def tiffs(folder):
    import tifffile

    gray = DEEP[..., np.newaxis].astype(np.uint32)
    found = {}
    for big in (False, True):
        for packing in (NONE, LZW, ZIP):
            for sides in ((60_000, 60_000), (21, 60_000)):
                name = f"{'BigTIFF' * big} packing {packing} {sides}"
                data = tiff(gray, 16, 1, big=big, packing=packing)
                width, height = (struct.pack("<HHQ" if big else "<HHI", tag, 3, 1) for tag in (256, 257))
                for sign, side in zip((width, height), sides):
                    at = data.rindex(sign) + len(sign)
                    data = data[:at] + struct.pack("<H", side) + data[at + 2 :]
                found[name] = data
    tiled = tiff(gray, 16, 1, packing=LZW, tile=(16, 16))
    for tag in (322, 323):
        at = tiled.rindex(struct.pack("<HHI", tag, 3, 1)) + 8
        tiled = tiled[:at] + struct.pack("<H", 65_520) + tiled[at + 2 :]
    found["tiles"] = tiled
    file = io.BytesIO()
    tifffile.imwrite(file, GRAY, compression="jpeg", metadata=None)
    found["JPEG of another size"] = with_size(file.getvalue(), HUGE, HUGE)
    return found


def niftis(folder):
    import nibabel

    whole = nibabel.Nifti1Image(np.zeros((13, 21, 3), np.int16), np.eye(4), dtype=np.int16).to_bytes()
    found = {}
    claims = {"slices": (32_767, 32_767, 3), "volume": (13, 21, 32_767), "series": (13, 21, 3, 32_767)}
    for name, sides in claims.items():
        found[name] = whole[:40] + struct.pack(f"<{len(sides) + 1}h", len(sides), *sides) + whole[42 + 2 * len(sides) :]
    return found


def packed_niftis(folder):
    found = {name: gzip.compress(data) for name, data in niftis(folder).items()}
    found["slices of zeros"] = gzip.compress(niftis(folder)["slices"] + bytes(10**7))
    return found


def npy_header(shape, dtype="<u2"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def npys(folder):
    shapes = (10, 60_000, 60_000), (10**10, 3, 3), (1, 2**40, 1)
    return {str(shape): npy_header(shape) + bytes(600) for shape in shapes}


def npzs(folder):
    def of(body, size=None):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("train_images.npy", body)
        data = file.getvalue()
        if size is not None:  # in the header of the member, and in the list at the end
            data = data.replace(struct.pack("<I", len(body)), struct.pack("<I", size))
        return data

    header = npy_header((1, 30_000, 60_000))
    return {
        "shape": of(npy_header((10, 60_000, 60_000)) + bytes(600)),
        "shape and length": of(header + bytes(600), len(header) + 2 * 30_000 * 60_000),
        "zeros": of(npy_header((2, 4000, 4000), "<f8") + bytes(10**6), 128 + 8 * 2 * 4000 * 4000),
    }


def hdf5s(folder):
    import h5py

    def of(**how):
        with h5py.File(folder / "made.h5", "w") as file:
            file.create_dataset("images", **how)
        return (folder / "made.h5").read_bytes()

    with h5py.File(folder / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((10, 60_000, 60_000), "u2")
        layout[:] = h5py.VirtualSource("other.h5", "x", (10, 60_000, 60_000))
        file.create_virtual_dataset("images", layout)
    sides = {"shape": (10, 60_000, 60_000), "dtype": "u2"}
    one = of(data=DEEP[np.newaxis], chunks=(1, 13, 21), compression="gzip")
    return {
        "chunked, never written": of(**sides, chunks=(1, 1000, 1000), compression="gzip"),
        "a chunk of all": of(shape=(1, 20_000, 20_000), dtype="f8", chunks=(1, 20_000, 20_000), compression="gzip"),
        "contiguous": of(**sides),
        "external": of(**sides, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]),
        "virtual": (folder / "virtual.h5").read_bytes(),
        "forged": one.replace(struct.pack("<QQ", 13, 21), struct.pack("<QQ", 60_000, 60_000)),
    }


def exrs(folder):
    channels = {"Z": DEEP.astype(np.float32)}
    windows = ((0, 0, HUGE, HUGE), (-(2**31), -(2**31), 2**31 - 1, 2**31 - 1), (0, 0, 2**31 - 2, 0))
    return {str(window): exr_of(channels, window=window) for window in windows}


def pfms(folder):
    return {f"{kind}": kind + b"\n99999 99999\n-1\n" + bytes(300) for kind in (b"Pf", b"PF")}


MEASURED = {
    **{".dcm": dicoms, ".tif": tiffs, ".nii": niftis, ".nii.gz": packed_niftis, ".npz": npzs, ".h5": hdf5s},
    **{".exr": exrs, ".pfm": pfms},
}


def _png(whole: bytes, width: int, height: int) -> bytes:
    """Of another size, with a right checksum."""
    header = png_chunk(b"IHDR", struct.pack(">II", width, height) + whole[24:29])
    return whole[:8] + header + whole[33:]


def images() -> dict[str, bytes]:
    """Ordinary ones."""
    gif, jpeg, lossy = gif_seeds()[0], jpeg_seeds()[0], webp_seeds()[1]
    wide = struct.pack("<HH", 21, 13)
    lossless = webp_seeds()[0]
    return {
        "PNG": _png(png(NOISE[..., :1], 8, 0), 100_000, 100_000),
        "16-bit PNG": _png(png(NOISE[..., :3].astype(np.uint32) * 257, 16, 2), 2**31 - 1, 5),
        "JPEG": with_size(jpeg, HUGE, HUGE),
        "GIF": gif.replace(wide, struct.pack("<HH", HUGE, HUGE)),
        "BMP": bmp(bytes(200), 100_000, 100_000, 24),
        "palette BMP": bmp(bytes(200), 100_000, 100_000, 8, table=bytes(1024)),
        "run-length BMP": bmp(bytes(200), 100_000, 100_000, 8, 1, table=bytes(1024)),
        "lossless WebP": lossless[:21] + b"\xff\xff\xff\x0f" + lossless[25:],
        "lossy WebP": lossy.replace(wide, struct.pack("<HH", 16_383, 16_383), 1),
        "TIFF": tiffs(None)[" packing 5 (60000, 60000)"],
    }
