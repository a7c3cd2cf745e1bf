"""The augmentation recipes of the papers, as data.

A `Policy` describes one view. A recipe is a tuple of policies: one for each view that its method takes of an image.
"""

import math
from dataclasses import dataclass, fields, replace

from ssl_keras.errors import UserError
from ssl_keras.views.exemplar_ops import tilt_margin
from ssl_keras.views.resample import KERNELS

POSITIVE = ("size", "relative_size", "crop_aspect", "zoom", "blur_kernel", "component_gain", "hsv_power", "hsv_gain")
PROBABILITIES = ("flip", "jitter", "grayscale", "blur", "solarize", "quarter_turn", "sobel", "noise", "cutout")


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
    solarize: float = 0.0  # probability
    solarize_threshold: float = 0.5  # values from here on are inverted
    sobel: float = 0.0  # probability
    noise: float = 0.0  # probability
    noise_sigma: tuple[float, float] = (0.0, 0.2)
    cutout: float = 0.0  # probability
    cutout_side: tuple[float, float] = (0.2, 0.5)  # fraction of the view's side

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


CROP_AND_FLIP = Policy()
# He et al. 2016, section 4.2, and RotNet (Gidaris et al. 2018): 4 pixels of padding around 32, mirrored.
PADDED_CROP = Policy(crop_area=None, crop_padding=(4, 32))

# Exemplar-CNN (Dosovitskiy et al. 2014, section 3.1): one view of a surrogate class. The paper's ranges; the released
# code's are 1/sqrt(2) to sqrt(2) for the zoom, and shifts of up to 0.25 of the zoomed side.
EXEMPLAR = Policy(
    crop_area=None, zoom=(0.7, 1.4), zoom_shift=0.2, flip=0.0, tilt=20.0,
    component_gain=(0.5, 2.0), hsv_power=(0.25, 4.0), hsv_gain=(0.7, 1.4), hsv_shift=0.1,
)  # fmt: skip

# Instance discrimination (Wu et al. 2018); MoCo (He et al. 2020) uses it too. CIFAR-10: without flips. Their code
# turns images gray before the jitter, which is the same where colors are composed (`color`), not in `exact_color`.
INSTDISC = Policy(
    crop_area=(0.2, 1.0),
    jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, grayscale=0.2,
)  # fmt: skip
INSTDISC_CIFAR = replace(INSTDISC, flip=0.0)

# Blur: the code of MoCo, SimSiam, SwAV, Barlow Twins, VICReg and DINO has Pillow's, whose kernel is not cut; that of
# SimCLR and BYOL cuts it at a tenth of the view's side. The CIFAR-10 recipes have none.
TENTH = 0.1

# MoCo v2 (Chen et al. 2020); SimSiam (Chen & He 2021) uses it too.
MOCO_V2 = Policy(
    crop_area=(0.2, 1.0),
    jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2, blur=0.5,
)  # fmt: skip
MOCO_V2_CIFAR = replace(MOCO_V2, crop_area=(0.08, 1.0), blur=0.0)  # the authors' CIFAR-10 notebook
SIMSIAM_CIFAR = replace(MOCO_V2, blur=0.0)  # appendix D


def simclr(strength: float = 1.0, blur: float = 0.5) -> Policy:
    """SimCLR (Chen et al. 2020), appendix A, at a strength of color distortion; CIFAR-10 (B.9): 0.5 without blur."""
    return Policy(
        interpolation="bicubic",
        jitter=0.8, brightness=0.8 * strength, contrast=0.8 * strength, saturation=0.8 * strength, hue=0.2 * strength,
        grayscale=0.2, blur=blur, blur_kernel=TENTH,
    )  # fmt: skip


# BYOL (Grill et al. 2020), table 6: two views that differ in blur and solarization.
BYOL_1 = Policy(
    interpolation="bicubic",
    jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grayscale=0.2, blur=1.0, blur_kernel=TENTH,
)  # fmt: skip
BYOL_2 = replace(BYOL_1, blur=0.1, solarize=0.2)
# Barlow Twins (Zbontar et al. 2021) uses them too, in Pillow. So does VICReg's code (Bardes et al. 2022); its paper's
# appendix C.1 has two equal views, as here.
BARLOW_1, BARLOW_2 = (replace(policy, blur_kernel=None) for policy in (BYOL_1, BYOL_2))
VICREG = replace(BARLOW_1, blur=0.5, solarize=0.1)

# SwAV (Caron et al. 2020): 2 x 224 and 6 x 96 pixels.
SWAV = replace(simclr(), interpolation="bilinear", crop_area=(0.14, 1.0), blur_kernel=None)
SWAV_SMALL = replace(SWAV, relative_size=96 / 224, crop_area=(0.05, 0.14))

# DINO (Caron et al. 2021): 2 x 224 and 8 x 96 pixels.
DINO_1 = replace(BARLOW_1, crop_area=(0.4, 1.0))
DINO_2 = replace(BARLOW_2, crop_area=(0.4, 1.0))
DINO_SMALL = replace(BARLOW_1, relative_size=96 / 224, crop_area=(0.05, 0.4), blur=0.5)

# LeJEPA (Balestriero and LeCun 2025): 2 x 224 and 6 x 98 pixels, all of one kind.
LEJEPA = replace(DINO_1, crop_area=(0.3, 1.0), blur=0.5, solarize=0.2)
LEJEPA_SMALL = replace(LEJEPA, relative_size=98 / 224, crop_area=(0.05, 0.3))

# EMP-SSL (Tong et al. 2023), the released code: 20 crops of a quarter of the image, on CIFAR-10.
EMP_SSL = Policy(
    crop_area=(0.25, 0.25), crop_aspect=(1.0, 1.0),
    jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2, grayscale=0.2, blur=0.1, solarize=0.1,
)  # fmt: skip

# MAE (He et al. 2022): crop and flip only.
MAE = Policy(crop_area=(0.2, 1.0), interpolation="bicubic")

POLICIES: dict[str, tuple[Policy, ...]] = {
    "supervised": (CROP_AND_FLIP,),
    "supervised_cifar": (PADDED_CROP,),
    "linear": (CROP_AND_FLIP,),
    "rotation": (CROP_AND_FLIP,),
    "rotation_cifar": (PADDED_CROP,),
    "exemplar": (EXEMPLAR, EXEMPLAR),
    "instdisc": (INSTDISC,),
    "instdisc_cifar": (INSTDISC_CIFAR,),
    "moco_v1": (INSTDISC, INSTDISC),
    "moco_v2": (MOCO_V2, MOCO_V2),
    "moco_v2_cifar": (MOCO_V2_CIFAR, MOCO_V2_CIFAR),
    "simclr": (simclr(),) * 2,
    "simclr_no_blur": (simclr(blur=0.0),) * 2,
    "simclr_cifar": (simclr(strength=0.5, blur=0.0),) * 2,
    "nnclr": (simclr(),) * 2,
    "byol": (BYOL_1, BYOL_2),
    "byol_cifar": (replace(BYOL_1, blur=0.0), replace(BYOL_2, blur=0.0)),
    "simsiam": (MOCO_V2, MOCO_V2),
    "simsiam_cifar": (SIMSIAM_CIFAR, SIMSIAM_CIFAR),
    "swav": (SWAV,) * 2 + (SWAV_SMALL,) * 6,
    "swav_two_views": (replace(SWAV, crop_area=(0.08, 1.0)),) * 2,
    "barlow_twins": (BARLOW_1, BARLOW_2),
    "vicreg": (VICREG, VICREG),
    "dino": (DINO_1, DINO_2) + (DINO_SMALL,) * 8,
    "mae": (MAE,),
    "lejepa": (LEJEPA,) * 2 + (LEJEPA_SMALL,) * 6,
    "emp_ssl": (EMP_SSL,) * 20,
}

# What each removable operation sets: `without=("color",)` is a row of BYOL's table of augmentations.
REMOVALS: dict[str, dict] = {
    "crop": {"crop_area": None, "crop_padding": None, "zoom": None},
    "flip": {"flip": 0.0},
    "color": {"jitter": 0.0, "grayscale": 0.0},
    "jitter": {"jitter": 0.0},
    "grayscale": {"grayscale": 0.0},
    "blur": {"blur": 0.0},
    "solarize": {"solarize": 0.0},
}

# The operations of SimCLR's study of pairs (figure 5), each at its full strength.
PAIR_OPERATIONS: dict[str, dict] = {
    "crop": {"crop_area": (0.08, 1.0), "flip": 0.5},
    "cutout": {"cutout": 1.0},
    "color": {"jitter": 0.8, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "grayscale": 0.2},
    "sobel": {"sobel": 1.0},
    "noise": {"noise": 1.0},
    "blur": {"blur": 1.0, "blur_kernel": TENTH},
    "rotate": {"quarter_turn": 1.0},
}


def get(name: str, image_size: int, without: tuple[str, ...] = (), **overrides) -> tuple[Policy, ...]:
    """Looks up a recipe and settles its sizes.

    Args:
        name: a key of `POLICIES`; "NAME*N" for N of its views (more are like its last one); or "pair:A+B" with two keys
            of `PAIR_OPERATIONS`, see `pair`.
        image_size: side in pixels of the views that do not state their own.
        without: operations to remove from every view, keys of `REMOVALS`.
        overrides: fields of `Policy` to set in every view, e.g. `crop_area=(0.2, 1.0)`.
    """
    known, _, count = name.partition("*")
    if name.startswith("pair:"):
        recipe = pair(*name.removeprefix("pair:").split("+"))
    elif known in POLICIES and (not count or (count.isdecimal() and int(count))):
        recipe = POLICIES[known]
        wanted = int(count or len(recipe))
        recipe = (recipe + recipe[-1:] * wanted)[:wanted]
    else:
        raise UserError(
            f"there are no views named {name!r}: use one of {', '.join(POLICIES)}; NAME*N for N views, e.g. emp_ssl*8; "
            "or pair:A+B, e.g. pair:crop+color"
        )
    _check("remove from the views", without, REMOVALS)
    _check("set in the views", overrides, [field.name for field in fields(Policy)])
    removed = {key: value for operation in without for key, value in REMOVALS[operation].items()}
    return tuple(replace(policy, **removed | overrides).sized(image_size) for policy in recipe)


def pair(first: str, second: str | None = None) -> tuple[Policy, Policy]:
    """The recipe of one cell of SimCLR's figure 5: two operations on one view, none on the other.

    The paper crops both views alike before; here the other view is the whole image. Operations are applied in the order
    of `Policy`'s fields, so cells mirrored at the diagonal are the same.
    """
    operations = (first,) if second is None or second == first else (first, second)
    _check("study", operations, PAIR_OPERATIONS)
    plain = Policy(crop_area=None, flip=0.0, interpolation="bicubic")
    changes = {key: value for operation in operations for key, value in PAIR_OPERATIONS[operation].items()}
    return replace(plain, **changes), plain


def _check(verb, names, known):
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"cannot {verb}: {', '.join(unknown)}; use {', '.join(known)}")
