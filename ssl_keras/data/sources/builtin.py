"""The built-in scenes as a source, rendered when they are asked for."""

from ssl_keras.data.source import Source, Wanted
from ssl_keras.errors import UserError

FORMS = ("builtin:scenes[:N]", "builtin:depth_scenes[:N]")
BUILTIN = ("scenes", "depth_scenes")
USUAL_SIZE = 32  # px


def open_source(rest: str, wanted: Wanted) -> Source:
    """Rendered images: `scenes` (color, 8 bit) or `depth_scenes` (one channel, 16 bit), with the class of
    each.

    Args:
        rest: NAME or NAME:N; N training images (default 4000), a quarter as many test images.
        wanted: its size is the side, px (32 where none is said); no image is in both splits.
    """
    from ssl_keras.data.scenes import scenes

    name, _, count = rest.partition(":")
    if name not in BUILTIN:
        raise UserError(f"unknown built-in data {name!r}: expected one of {', '.join(BUILTIN)}")
    if count and not (count.isdecimal() and int(count) >= 4):
        raise UserError(f"builtin:{rest}: expected a number of images of 4 or more after the name, not {count!r}")
    length = int(count or 4000)
    first = 0
    size, seed, split = wanted.size or USUAL_SIZE, wanted.seed, wanted.split
    if split == "test":
        length, first = length // 4, scenes.TEST_OFFSET
    render = scenes.render_image if name == "scenes" else scenes.render_depth_image
    return Source(
        name=f"builtin:{name} {split}",
        length=length,
        read=lambda i: render(first + i, size, seed),
        describe=lambda i: f"builtin:{name} image {first + i}",
        label=lambda i: int(scenes.label(first + i, seed)),
        class_names=tuple(scenes.CLASS_NAMES),
        has_test_split=True,
        arrays=(3, "uint8") if name == "scenes" else (1, "uint16"),
    )
