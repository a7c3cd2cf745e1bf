"""Files whose numbers are measurements (DICOM, NIfTI, TIFF of any kind, arrays, ...): one reader each, found by name.

A reader, NAME.py, has

- `ENDINGS`, what its files' names end with, in lower case, such as (".nii", ".nii.gz"); () where it is asked by name;
- `PACKAGES`, what pip must have installed for it; () where nothing more is needed;
- `NATIVE`, which of "facts" and "read" run native code that may crash on a damaged file: `guarded` calls these in a
  process of their own; () where all is Python and numpy;
- `is_one(head) -> bool`: whether a file that begins with these 4,096 bytes is of its kind;
- `facts(path, options) -> contract.Facts`: what its header says; no picture is decoded;
- `read(path, number, options) -> contract.Picture`: one of its pictures, 0 <= number < facts.count.

Both raise UserError, in a sentence of what is the matter and what to do: a damaged file, one that is too large for
`options.max_bytes`, of a kind that is not read, with a question that the options do not answer (pages), or without the
package that it needs. They never return a picture that is only probably right. A file that is no image at all, such as
a report in DICOM, raises `contract.NoPictureError`, which is counted apart.
"""

from ssl_keras.registry import Registry

BESIDE = (
    "arrays",
    "contract",
    "dicom_codecs",
    "dicom_file",
    "dicom_frames",
    "dicom_header",
    "dicom_tables",
    "guarded",
    "tiff_axes",
    "tiff_directory",
    "tiff_values",
)
REGISTRY = Registry(__name__, "reader", BESIDE)
