"""The augmentation recipes of the papers, as data.

A `Policy` describes one view; a recipe is the tuple of the views that its method takes from each image.
"""

from dataclasses import dataclass, fields, replace

from ssl_keras.views.resample import KERNELS


@dataclass(frozen=True)
class Policy:
    """One view, read from top to bottom in the order in which it is made.

    Probabilities are per image. Strengths of jitter are torchvision's: factors uniform in [max(0, 1 - s), 1 + s], hue in [-s, s] turns.
    """

    size: int | None = None  # side of the view in pixels; None: the run's image size
    crop_area: tuple[float, float] | None = (0.08, 1.0)  # fraction of the image's area; None: the whole image
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)  # width / height, log-uniform
    crop_padding: tuple[int, int] | None = None  # (p, side): instead, the whole image moved by up to p of side pixels
    interpolation: str = "bilinear"  # or "bicubic"; antialiased
    flip: float = 0.5  # probability of mirroring left and right
    jitter: float = 0.0  # probability of the four below, in random order
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0  # probability
    blur: float = 0.0  # probability
    blur_sigma: tuple[float, float] = (0.1, 2.0)  # pixels
    blur_kernel: float = 0.1  # kernel length as a fraction of the view's side, made odd: 23 taps at 224 px, 3 at 32 px
    solarize: float = 0.0  # probability
    solarize_threshold: float = 0.5  # of [0, 1]

    def __post_init__(self):
        if self.interpolation not in KERNELS:
            raise ValueError(f"interpolation={self.interpolation!r} is unknown: use one of {', '.join(KERNELS)}")
        for name in ("flip", "jitter", "grayscale", "blur", "solarize"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is a probability: it must lie in [0, 1]")
        if self.crop_area is not None and not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError(f"crop_area={self.crop_area} must be (smallest, largest), fractions in (0, 1]")

    @property
    def blur_radius(self) -> int:
        """Taps on each side of the centre of the blur kernel: the length `size * blur_kernel`, made odd, halved."""
        return int(self.size * self.blur_kernel) // 2 if self.blur else 0


CROP_AND_FLIP = Policy()

# SimCLR (Chen et al. 2020), appendix A: colour strength s = 1; s = 0.5 and no blur for CIFAR-10 (B.9).
SIMCLR = Policy(
    interpolation="bicubic",
    jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale=0.2, blur=0.5,
)  # fmt: skip
SIMCLR_CIFAR = replace(SIMCLR, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, blur=0.0)

# MoCo v2 (Chen et al. 2020), taken over by SimSiam (Chen & He 2021).
MOCO_V2 = Policy(
    crop_area=(0.2, 1.0),
    jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2, blur=0.5,
)  # fmt: skip
MOCO_V2_CIFAR = replace(MOCO_V2, crop_area=(0.08, 1.0), blur=0.0)  # the authors' CIFAR-10 notebook
SIMSIAM_CIFAR = replace(MOCO_V2, blur=0.0)

# He et al. 2016, section 4.2: 4 pixels of padding around 32, mirrored.
PADDED_CROP = Policy(crop_area=None, crop_padding=(4, 32))

POLICIES: dict[str, tuple[Policy, ...]] = {
    "simclr": (SIMCLR, SIMCLR),
    "simclr_cifar": (SIMCLR_CIFAR, SIMCLR_CIFAR),
    "moco_v2": (MOCO_V2, MOCO_V2),
    "moco_v2_cifar": (MOCO_V2_CIFAR, MOCO_V2_CIFAR),
    "simsiam": (MOCO_V2, MOCO_V2),
    "simsiam_cifar": (SIMSIAM_CIFAR, SIMSIAM_CIFAR),
    "supervised": (CROP_AND_FLIP,),
    "supervised_cifar": (PADDED_CROP,),
}

# What each removable operation sets: `without=("color",)` is the ablation of BYOL's table of augmentations.
REMOVALS: dict[str, dict] = {
    "crop": {"crop_area": None, "crop_padding": None},
    "flip": {"flip": 0.0},
    "color": {"jitter": 0.0, "grayscale": 0.0},
    "jitter": {"jitter": 0.0},
    "grayscale": {"grayscale": 0.0},
    "blur": {"blur": 0.0},
    "solarize": {"solarize": 0.0},
}


def get(name: str, image_size: int, without: tuple[str, ...] = (), **overrides) -> tuple[Policy, ...]:
    """Looks up a recipe and settles its sizes.

    Args:
        name: a key of `POLICIES`.
        image_size: side in pixels of the views that do not state their own.
        without: operations to remove from every view, keys of `REMOVALS`.
        overrides: fields of `Policy` to set in every view, e.g. `crop_area=(0.2, 1.0)`.
    """
    if name not in POLICIES:
        raise ValueError(f"there are no views named {name!r}: use one of {', '.join(POLICIES)}")
    unknown = [op for op in without if op not in REMOVALS]
    if unknown:
        raise ValueError(f"cannot remove {', '.join(unknown)} from the views: use {', '.join(REMOVALS)}")
    known = [field.name for field in fields(Policy)]
    unknown = [key for key in overrides if key not in known]
    if unknown:
        raise ValueError(f"a view has no {', '.join(unknown)}: its fields are {', '.join(known)}")
    views = []
    for policy in POLICIES[name]:
        for op in without:
            policy = replace(policy, **REMOVALS[op])
        policy = replace(policy, **overrides)
        views.append(replace(policy, size=policy.size or image_size))
    return tuple(views)
