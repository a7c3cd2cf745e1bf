"""A folder of images as a user brings it, made here: photos, crops of many sizes, and files that are odd or broken."""

import pathlib

import numpy as np
from PIL import Image

PHOTOS, CELLS = 300, 10  # so many that the broken ones are less than a hundredth
BROKEN = ("empty.jpg", "text_named.png", "truncated.jpg")


def write(root: pathlib.Path) -> pathlib.Path:
    """The layout of the folder of real images, and more kinds in `bad`, all of which but BROKEN can be read."""
    for name in ("photos", "cells", "bad"):
        (root / name).mkdir(parents=True)
    (root / "README.md").write_text("Not an image.\n")
    rng = np.random.default_rng(0)
    for i in range(PHOTOS):
        picture(rng, 32, 32).save(root / "photos" / f"photo_{i:04d}.jpg", quality=95)
    for i in range(CELLS):
        picture(rng, 32 + 11 * i, 35 + 7 * i).save(root / "cells" / f"cell_{i:03d}.jpg", quality=95)
    _write_odd(root / "bad", rng)
    return root


def picture(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A smooth picture that looks different from every side, as photos do: RGB."""
    coarse = Image.fromarray(rng.integers(0, 256, (5, 4, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def _write_odd(folder: pathlib.Path, rng: np.random.Generator) -> None:
    whole = folder / "truncated.jpg"
    picture(rng, 240, 320).save(whole, quality=95)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 55 // 100])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text_named.png").write_text("a line of plain text\n")

    levels = np.linspace(771, 65151, 180 * 240).reshape(180, 240).astype(np.uint16)
    Image.fromarray(levels).save(folder / "gray16.png")
    picture(rng, 240, 320).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.new("RGB", (1, 1), (200, 30, 60)).save(folder / "one_pixel.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(rng, 240, 180).save(folder / "exif_rotated.jpg", exif=exif, quality=95)

    palette = picture(rng, 199, 231).quantize(64)
    colours = [*palette.getpalette()[: 3 * 64], 255, 0, 255]  # magenta, which is transparent
    y, x = np.mgrid[-1:1:199j, -1:1:231j]
    palette = Image.fromarray(np.where(x**2 + y**2 > 1, 64, np.asarray(palette)).astype(np.uint8), "P")
    palette.putpalette(colours)
    palette.save(folder / "palette_alpha.png", transparency=64)

    frames = [picture(rng, 40, 60) for _ in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    picture(rng, 50, 30).save(folder / "still.webp", lossless=True)
    picture(rng, 50, 30).save(folder / "true_color.bmp")
    picture(rng, 50, 30).convert("L").save(folder / "gray.bmp")
    picture(rng, 50, 30).save(folder / "strips.tif", compression="tiff_lzw")
