"""Views by the kind of images, where photographs' recipes do not suit: what a camera or scanner changes by itself.

Values lie in [0, 1] of the range that `--normalize` found, and strengths are in its units. Each recipe is two equal
views. What is not cited is a choice of this project; docs/views.md tells what was measured of them.
"""

from ssl_keras.views.policy import Policy

ALL_TURNS = {"flip": 0.5, "quarter_turn": 0.75}  # every one of the eight symmetries of a square, equally often

# Chest x-rays: left and right differ, and so they stay. MoCo-CXR (Sowrirajan et al. 2021, arXiv:2010.05352) turns by 10
# degrees and flips, without crops and blur, which may erase a finding; SiAug (van der Sluijs et al. 2023,
# arXiv:2301.12636) finds crops with brightness and contrast best. These are its strengths, and crops in between.
XRAY = Policy(
    crop_area=(0.3, 1.0), flip=0.0, tilt=10.0,
    jitter=0.8, brightness=0.4, contrast=0.4, gamma=0.2,
)  # fmt: skip

# CT: Hounsfield units are calibrated, so a factor or a power on them is no other scan; scanners differ by some units
# and in their noise.
CT = Policy(crop_area=(0.3, 1.0), tilt=15.0, jitter=0.8, contrast=0.1, shift=0.03, own_noise=0.1)

# MRI: units are arbitrary, and the field of the coils is not even.
MRI = Policy(
    crop_area=(0.3, 1.0), tilt=15.0, gain=(0.7, 1.4), gamma=0.4, bias_field=0.4, own_noise=0.1,
)  # fmt: skip

# Histology: a slide has no up, the scale of a cell means something, and the stain varies. Virchow2 (Zimmermann et al.
# 2024, arXiv:2408.00738) resizes by 0.9 to 1.1 only, flips both ways and leaves solarizing out.
HISTOLOGY = Policy(
    crop_area=(0.4, 1.0), crop_aspect=(0.95, 1.05), **ALL_TURNS,
    jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2, blur=0.2,
)  # fmt: skip

# Fluorescence: a channel is a stain, whose strength and presence vary by themselves: Cell-DINO's brightness and
# contrast of each channel, and its removal.
FLUORESCENCE = Policy(
    crop_area=(0.3, 1.0), **ALL_TURNS,
    jitter=0.8, contrast=0.4, channel_gain=0.4, channel_drop=0.2, own_noise=0.2,
)  # fmt: skip

# Multispectral: the light varies for all bands together, and a little for each. SSL4EO-S12 (Wang et al. 2023,
# arXiv:2211.07044): brightness and contrast 0.4, the mean of the bands for gray, bands dropped, no hue.
MULTISPECTRAL = Policy(
    crop_area=(0.2, 1.0), **ALL_TURNS,
    jitter=0.8, brightness=0.4, contrast=0.4, channel_gain=0.1, channel_drop=0.2, channel_mean=0.2,
)  # fmt: skip

# Depth and time of flight: a scene that is nearer or seen from elsewhere, and what such cameras leave out: dark and
# shiny surfaces, and the edges of things. No power, no blur: a distance is a distance.
DEPTH = Policy(
    crop_area=(0.3, 1.0), gain=(0.8, 1.25), shift=0.1, own_noise=0.05, holes=0.5, erosion=0.5,
)  # fmt: skip

# Industrial: light varies, and a defect is small: no blur, and no crop that loses it. For textures without an up, add
# --view_arg=quarter_turn=0.75.
INDUSTRIAL = Policy(crop_area=(0.5, 1.0), jitter=0.8, brightness=0.2, contrast=0.2)

KINDS: dict[str, Policy] = {
    "xray": XRAY,
    "ct": CT,
    "mri": MRI,
    "histology": HISTOLOGY,
    "fluorescence": FLUORESCENCE,
    "multispectral": MULTISPECTRAL,
    "depth": DEPTH,
    "industrial": INDUSTRIAL,
}
