"""Pictures of the operations of a recipe: each alone, at both ends of its range."""

from dataclasses import replace

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from ssl_keras.views import draws, policies
from ssl_keras.views.render import make_view

LABEL = 14  # pixels of height
GAP = 4

# Operation -> the fields of `Policy` that switch it on, those that shape it, and the quantity that moves it from one
# end of its range to the other (None: it has no range).
OPERATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str | None]] = {
    "crop": (("crop_area",), ("crop_aspect",), "crop_area"),
    "aspect": (("crop_area",), ("crop_aspect",), "crop_aspect"),
    "shift": (("crop_padding",), (), "crop_top"),
    "zoom": (("zoom",), (), "zoom"),
    "flip": (("flip",), (), None),
    "blur": (("blur",), ("blur_sigma", "blur_kernel"), "blur_sigma"),
    "quarter turn": (("quarter_turn",), (), "quarter_turns"),
    "tilt": (("tilt",), (), "tilt"),
    "brightness": (("jitter", "brightness"), (), "brightness"),
    "contrast": (("jitter", "contrast"), (), "contrast"),
    "saturation": (("jitter", "saturation"), (), "saturation"),
    "hue": (("jitter", "hue"), (), "hue"),
    "grayscale": (("grayscale",), (), None),
    "component": (("component_gain",), (), "component_1"),
    "hsv power": (("hsv_power",), ("hsv_gain", "hsv_shift"), "value_power"),
    "solarize": (("solarize",), ("solarize_threshold",), None),
    "sobel": (("sobel",), (), None),
    "noise": (("noise",), ("noise_sigma",), "noise_sigma"),
    "cutout": (("cutout",), ("cutout_side",), "cutout_side"),
}


def op_strip(image: np.ndarray, policy: policies.Policy, image_size: int) -> np.ndarray:
    """A labeled strip: the image, then every operation of a policy alone, at the two ends of its range.

    Args:
        image: [H, W, C], uint8 in 0..255, uint16 in 0..65535 or float32 in [0, 1].
        policy: a view of a recipe.
        image_size: side in pixels of views whose policy does not state its own.

    Returns:
        uint8 [h, w, 3].
    """
    policy = policy.sized(image_size)
    off = policies.Policy(size=policy.size, crop_area=None, flip=0.0, interpolation=policy.interpolation)
    tiles = [("image", _view(image, off, {}))]
    for name, (switches, shapes, quantity) in OPERATIONS.items():
        if not all(getattr(policy, field) for field in switches):
            continue
        alone = replace(off, **{field: getattr(policy, field) for field in (*switches, *shapes)})
        for label, end in (("min", 0.0), ("max", 1 - 2.0**-24)) if quantity else (("", None),):
            tiles.append((f"{name} {label}".strip(), _view(image, alone, {quantity: end})))
    return _labelled(tiles)


def save_png(pixels: np.ndarray, path: str) -> None:
    """Writes uint8 [H, W, 3] as a PNG."""
    Image.fromarray(pixels).save(path, format="PNG")


def _view(image, policy, ends) -> np.ndarray:
    """One view with every draw in the middle of its range, gates open, and some quantities at given values."""
    policy = replace(policy, **{name: 1.0 for name in policies.PROBABILITIES if getattr(policy, name)})
    key = draws.Key(0, tf.constant(0), tf.constant(0), tf.range(1))
    draw = {name: tf.constant([ends.get(name, 0.5)], tf.float32) for name in draws.QUANTITIES}
    sizes = tf.constant([image.shape[:2]], tf.float32)
    return make_view(policy, tf.convert_to_tensor(image)[None], sizes, draw, key)[0].numpy()


def _labelled(tiles) -> np.ndarray:
    side = max(96, *(tile.shape[0] for _, tile in tiles))
    picture = Image.new("RGB", (len(tiles) * (side + GAP) - GAP, side + LABEL), "white")
    pen = ImageDraw.Draw(picture)
    for place, (label, tile) in enumerate(tiles):
        pixels = np.repeat(tile[..., :1], 3, axis=-1) if tile.shape[-1] < 3 else tile[..., :3]
        pixels = Image.fromarray((pixels * 255).round().astype(np.uint8))
        left = place * (side + GAP)
        picture.paste(pixels.resize((side, side), Image.Resampling.NEAREST), (left, LABEL))
        pen.text((left, 0), label, fill="black")
    return np.asarray(picture)
