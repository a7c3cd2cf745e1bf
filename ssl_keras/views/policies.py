"""The augmentation recipes of the papers, as data.

A `Policy` describes one view. A recipe is a tuple of policies: one for each view that its method takes of an image.
"""

from dataclasses import fields, replace

from ssl_keras.errors import UserError
from ssl_keras.views.kinds import KINDS
from ssl_keras.views.policy import Policy

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
    **{name: (policy,) * 2 for name, policy in KINDS.items()},
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
    "turns": {"tilt": 0.0, "quarter_turn": 0.0},
    "gain": {"gain": None},
    "shift": {"shift": 0.0},
    "gamma": {"gamma": 0.0},
    "bias_field": {"bias_field": 0.0},
    "channels": {"channel_gain": 0.0, "channel_drop": 0.0, "channel_mean": 0.0},
    "noise": {"noise": 0.0, "own_noise": 0.0},
    "holes": {"holes": 0.0},
    "erosion": {"erosion": 0.0},
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
