"""ResNets (He et al., 2015, arXiv:1512.03385) with torchvision's structure and padding, as functional models.

ResNet-18, 34 and 50 are torchvision's, parameter for parameter (v1.5: the 3×3 convolution of a bottleneck has the
stride). `resnet8` has one basic block in each of three stages (32-64-128 channels): a network for small images on a
CPU. The stem "cifar" is a 3×3 convolution without pooling, as in MoCo's, SimCLR's and SimSiam's CIFAR experiments.
"""

from typing import NamedTuple

import keras

from ssl_keras.errors import UserError
from ssl_keras.nn import initializers
from ssl_keras.nn.images import image_input
from ssl_keras.nn.norm import normalization


class Architecture(NamedTuple):
    """Blocks per stage; channels of each stage's 3×3 convolutions; output channels of a block divided by those."""

    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    expansion: int

    @property
    def feature_dim(self):
        return self.channels[-1] * self.expansion


ARCHITECTURES = {
    "resnet8": Architecture((1, 1, 1), (32, 64, 128), 1),
    "resnet18": Architecture((2, 2, 2, 2), (64, 128, 256, 512), 1),
    "resnet34": Architecture((3, 4, 6, 3), (64, 128, 256, 512), 1),
    "resnet50": Architecture((3, 4, 6, 3), (64, 128, 256, 512), 4),
}
STEMS = ("imagenet", "cifar")


def build(
    name, image_size, channels=3, width=1.0, stem=None, zero_init_last=False, mean=None, std=None, seed=None, gaps=None
):
    """A ResNet from images to pooled features.

    Args:
        name: one of `ARCHITECTURES`.
        image_size: int, height and width of the images in pixels.
        channels: int, channels of the images.
        width: float, factor on the channels of every layer (SimCLR's 2× and 4× networks: 2.0, 4.0).
        stem: "imagenet" (7×7 stride 2, max-pooling: a quarter of the resolution), "cifar" (full resolution) or None:
            "cifar" up to 64 pixels.
        zero_init_last: start every block as the identity, its last gamma at 0 (SimCLR, SimSiam, Barlow Twins, VICReg);
            gamma is 1 in BYOL, MoCo, InstDisc and SwAV.
        mean, std: floats, or one per channel, in units of the input: (image - mean) / std; None: left out.
        seed: int for reproducible initial weights, or None.
        gaps: `images.Gaps`: images are NaN where nothing was measured; None: they never are.

    Returns:
        keras.Model: images, float32 [B, image_size, image_size, channels] in [0, 1] -> representation, float32 [B, D].
        Layers named "stage1", "stage2", ... give the feature map at the end of each stage, after its ReLU.

    Raises:
        UserError: unknown name or stem, a width that leaves no channels, a mean or std that does not fit.
    """
    if name not in ARCHITECTURES:
        raise UserError(f"unknown ResNet {name!r}: use one of {', '.join(ARCHITECTURES)}")
    stem = stem or ("cifar" if image_size <= 64 else "imagenet")
    if stem not in STEMS:
        raise UserError(f"unknown stem {stem!r}: use one of {', '.join(STEMS)}")
    architecture = ARCHITECTURES[name]
    stage_channels = [round(width * c) for c in architecture.channels]
    if min(stage_channels) < 1:
        smallest = 1 / architecture.channels[0]
        raise UserError(f"width={width} leaves {name} without channels: use at least {smallest}")

    image, x = image_input(image_size, channels, mean, std, gaps)
    x = _stem(x, stage_channels[0], stem, seed)
    block = _bottleneck if architecture.expansion > 1 else _basic_block
    for stage, (blocks, c) in enumerate(zip(architecture.blocks, stage_channels), 1):
        for i in range(1, blocks + 1):
            stride = 2 if stage > 1 and i == 1 else 1
            # The last block's ReLU carries the stage's name, so that the network can be cut there.
            output_name = f"stage{stage}" if i == blocks else f"stage{stage}_block{i}"
            x = block(x, c, stride, f"stage{stage}_block{i}", output_name, zero_init_last, seed)
    # Float32 under mixed precision too: what follows compares features.
    h = keras.layers.GlobalAveragePooling2D(name="representation", dtype="float32")(x)
    return keras.Model(image, h, name=name)


def _stem(x, channels, stem, seed):
    if stem == "cifar":
        return _conv_bn(x, channels, 3, 1, "stem", seed, relu=True)
    x = _conv_bn(x, channels, 7, 2, "stem", seed, relu=True)
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # after a ReLU, 0 pads as well as -inf
    return keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)


def _basic_block(x, channels, stride, name, output_name, zero_init_last, seed):
    """3×3, 3×3."""
    y = _conv_bn(x, channels, 3, stride, f"{name}_1", seed, relu=True)
    y = _conv_bn(y, channels, 3, 1, f"{name}_2", seed, gamma="zeros" if zero_init_last else "ones")
    return _add_shortcut(x, y, stride, name, output_name, seed)


def _bottleneck(x, channels, stride, name, output_name, zero_init_last, seed):
    """1×1, 3×3 (strided), 1×1 to four times the channels."""
    y = _conv_bn(x, channels, 1, 1, f"{name}_1", seed, relu=True)
    y = _conv_bn(y, channels, 3, stride, f"{name}_2", seed, relu=True)
    y = _conv_bn(y, 4 * channels, 1, 1, f"{name}_3", seed, gamma="zeros" if zero_init_last else "ones")
    return _add_shortcut(x, y, stride, name, output_name, seed)


def _add_shortcut(x, y, stride, name, output_name, seed):
    if stride > 1 or x.shape[-1] != y.shape[-1]:
        x = _conv_bn(x, y.shape[-1], 1, stride, f"{name}_shortcut", seed)
    x = keras.layers.Add(name=f"{name}_add")([x, y])
    return keras.layers.ReLU(name=output_name)(x)


def _conv_bn(x, channels, kernel_size, stride, name, seed, relu=False, gamma="ones"):
    """Convolution without bias, normalization, and a ReLU where asked."""
    if stride > 1 and kernel_size == 1:
        # The same sum over every stride-th pixel, gathered first: faster on a CPU, and TensorFlow's oneDNN kernel for
        # the gradient of a strided 1×1 kernel writes past its memory with fewer than 16 channels on large maps.
        x = keras.layers.AveragePooling2D(1, strides=stride, name=f"{name}_subsample")(x)
        stride = 1
    # Keras's "same" pads a strided convolution on the right and below first; PyTorch pads all sides alike.
    if stride > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        kernel_initializer=initializers.he_fan_out(seed, f"{name}_conv"),
        name=f"{name}_conv",
    )(x)
    x = normalization(f"{name}_bn", channels, gamma_initializer=gamma)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x
