"""DICOM files for tests."""

import numpy as np


def made(tmp_path, pixels, name="a.dcm", frame=None, syntax="1.2.840.10008.1.2.1", **fields):
    """A DICOM file of [H, W] gray or [H, W, 3] color; `frame`: packed, in place of the pixels themselves."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    bits = 8 * pixels.dtype.itemsize
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.PatientID, data.PatientName = "Id-4711", "Mustermann^Erika"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.dtype.kind == "f":
        setattr(data, "FloatPixelData" if bits == 32 else "DoubleFloatPixelData", pixels.tobytes())
    else:
        data.BitsAllocated = data.BitsStored = bits
        data.PixelRepresentation = int(pixels.dtype.kind == "i")
        if pixels.ndim == 3:
            data.PlanarConfiguration = 0
        data.PixelData = encapsulate([frame]) if frame else pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        data["PixelData"].VR = "OW" if bits > 8 else "OB"
        data["PixelData"].is_undefined_length = frame is not None
    for key, value in fields.items():
        setattr(data, key, value)
    if "HighBit" not in data and "BitsStored" in data:
        data.HighBit = data.BitsStored - 1
    data.save_as(tmp_path / name, enforce_file_format=True)
    return tmp_path / name


def numbers(dtype, shape=(6, 5), seed=0):
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype, endpoint=True)
