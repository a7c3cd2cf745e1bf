"""One view as data: what is drawn of an image, and how strongly it is changed."""

import math
from dataclasses import dataclass, fields, replace

from ssl_keras.errors import UserError
from ssl_keras.views.exemplar_ops import tilt_margin
from ssl_keras.views.resample import KERNELS

POSITIVE = (
    "size", "relative_size", "crop_aspect", "zoom", "blur_kernel", "component_gain", "hsv_power", "hsv_gain", "gain",
)  # fmt: skip
PROBABILITIES = (
    "flip", "jitter", "grayscale", "blur", "solarize", "quarter_turn", "sobel", "noise", "cutout",
    "channel_drop", "channel_mean", "holes", "erosion",
)  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """One view, read from top to bottom in the order in which it is made.

    Probabilities are per image. Strengths of jitter are torchvision's: factors uniform in [max(0, 1 - s), 1 + s], hue
    shifts in [-s, s] turns. Values of images lie in [0, 1].
    """

    size: int | None = None  # side of the view in pixels; None: the run's image size
    relative_size: float = 1.0  # fraction of the image size, where `size` is None; below 1: made a multiple of 8
    crop_area: tuple[float, float] | None = (0.08, 1.0)  # fraction of the image's area; None: the whole image
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)  # width / height, log-uniform
    crop_padding: tuple[int, int] | None = None  # (p, side): instead, the whole image moved by up to p of side pixels
    zoom: tuple[float, float] | None = None  # instead, the whole image enlarged by a factor, uniform,
    zoom_shift: float = 0.0  # and moved by up to this fraction of its side; beyond its ends lies its mirror image
    interpolation: str = "bilinear"  # or "bicubic"; antialiased
    flip: float = 0.5  # probability of mirroring left and right
    blur: float = 0.0  # probability (computed with the geometry: it commutes with all color operations but clipping)
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # pixels
    blur_kernel: float | None = None  # kernel length, a fraction of the view's side, made odd; None: uncut, as Pillow's
    tilt: float = 0.0  # largest rotation in degrees; what turns in is the image around the view, mirrored at its ends
    quarter_turn: float = 0.0  # probability of turning by 90, 180 or 270 degrees
    jitter: float = 0.0  # probability of the four below, in random order
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0  # probability
    component_gain: tuple[float, float] | None = None  # factors of the principal components of color, log-uniform
    hsv_power: tuple[float, float] | None = None  # log-uniform, of saturation and value, which are then
    hsv_gain: tuple[float, float] = (1.0, 1.0)  # scaled, log-uniform,
    hsv_shift: float = 0.0  # and shifted by up to this much, as is the hue
    gain: tuple[float, float] | None = None  # factor on all channels together, log-uniform; then all are
    shift: float = 0.0  # moved by up to this much
    gamma: float = 0.0  # logarithm of the largest power of all values
    bias_field: float = 0.0  # logarithm of the largest factor of a smooth field across the image
    channel_gain: float = 0.0  # each channel's own factor lies within 1 - this and 1 + this
    channel_drop: float = 0.0  # probability of each channel to be emptied; one at least stays
    channel_mean: float = 0.0  # probability that all channels become their mean
    solarize: float = 0.0  # probability
    solarize_threshold: float = 0.5  # values from here on are inverted
    sobel: float = 0.0  # probability
    noise: float = 0.0  # probability
    noise_sigma: tuple[float, float] = (0.0, 0.2)
    own_noise: float = 0.0  # largest standard deviation of noise, as a share of each channel's own in the view
    cutout: float = 0.0  # probability
    cutout_side: tuple[float, float] = (0.2, 0.5)  # fraction of the view's side
    holes: float = 0.0  # probability that blobs are not measured,
    hole_share: tuple[float, float] = (0.0, 0.2)  # which cover at most this fraction of the view together
    erosion: float = 0.0  # probability that pixels beside holes are not measured, and beside steps of
    erosion_step: float = 0.1  # more than this

    def __post_init__(self):
        for field in fields(self):  # pairs come back from JSON as lists
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
            self._check_numbers(field.name, str(field.type))
        if self.interpolation not in KERNELS:
            raise UserError(f"interpolation={self.interpolation!r} is unknown: use {' or '.join(KERNELS)}")
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name}={getattr(self, name)} is a probability: it must lie in [0, 1]")
        if self.crop_area is not None and not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise UserError(f"crop_area={self.crop_area} must be (smallest, largest), fractions in (0, 1]")

    def _check_numbers(self, name: str, kind: str):
        """Raises UserError where a field should be a number, or a pair (smallest, largest), and is not."""
        value = getattr(self, name)
        if kind == str(str) or (value is None and "None" in kind):
            return
        pair = "tuple" in kind
        numbers = value if pair and isinstance(value, tuple) else (value,)
        right = len(numbers) == 1 + pair and all(isinstance(x, int | float) and 0 <= x < math.inf for x in numbers)
        if not right or list(numbers) != sorted(numbers) or (min(numbers) == 0 and name in POSITIVE):
            wanted = "two numbers, (smallest, largest)," if pair else "a number"
            raise UserError(f"{name}={value!r} must be {wanted} {'above' if name in POSITIVE else 'at least'} 0")

    def sized(self, image_size: int) -> "Policy":
        """This policy with its size in pixels settled."""
        if self.size:
            return self
        size = round(image_size * self.relative_size / 8) * 8 if self.relative_size < 1 else image_size
        return replace(self, size=max(8, size) if self.relative_size < 1 else size)

    def at_share(self, share: float) -> "Policy":
        """This policy, sized, with a share of its side: the same picture with fewer pixels."""
        if share == 1:
            return self
        blur_sigma = tuple(share * sigma for sigma in self.blur_sigma)
        return replace(self, size=max(8, round(share * self.size)), blur_sigma=blur_sigma)

    @property
    def blur_radius(self) -> int:
        """Taps on each side of the blur kernel's center, at most four standard deviations (2e-5 lie beyond in sum)."""
        if not self.blur:
            return 0
        uncut = round(4 * self.blur_sigma[1])
        return uncut if self.blur_kernel is None else min(int(self.size * self.blur_kernel) // 2, uncut)

    @property
    def margin(self) -> int:
        """Pixels on each side by which the view is rendered larger before it is tilted."""
        return tilt_margin(self.size, self.tilt)
