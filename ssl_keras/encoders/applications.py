"""Networks of keras.applications as encoders, with weights from a file: nothing is downloaded.

`keras_applications:NAME` takes images of the network's own size, `keras_applications:NAME@SIZE` of SIZE px.
"""

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence

import keras
import numpy as np

from ssl_keras.data.formats.decode import MAXIMUM
from ssl_keras.data.values import Values
from ssl_keras.encoders import weights
from ssl_keras.encoders.contract import of_model
from ssl_keras.encoders.encoder import Encoder, scaled
from ssl_keras.errors import UserError
from ssl_keras.nn import policy

PREFIX = "keras_applications:"
SIZE, SMALLEST = 224, 32
SIZES = {
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
}
SMALLEST_OF = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
STD = np.array([0.229, 0.224, 0.225])  # of ImageNet's channels, in [0, 1]


def is_name(name: str) -> bool:
    """Whether an encoder's name means a network of keras.applications."""
    return name.startswith(PREFIX)


def paired(names: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """{name: file of its weights} of the networks of keras.applications among encoders, in their order.

    Raises:
        UserError: there are more or fewer files than such networks.
    """
    networks = [name for name in names if is_name(name)]
    if not paths and networks:
        raise UserError(f"--weights is missing: {weights.HOW.format(network=named(networks[0])[0])}")
    if len(networks) != len(paths):
        raise UserError(
            f"{len(paths)} of --weights for {len(networks)} encoders that are called {PREFIX}NAME: give one file for "
            "each of them, in their order"
        )
    return dict(zip(networks, paths))


def named(name: str) -> tuple[str, int]:
    """The network and the side of its images, px, that an encoder's name means.

    Raises:
        UserError: keras.applications has no such network, or it takes no images of that size.
    """
    form = re.fullmatch(rf"{PREFIX}(\w+)(?:@(\d+))?", name)
    if form is None:
        raise UserError(f"{name!r}: expected {PREFIX}NAME or {PREFIX}NAME@SIZE, such as {PREFIX}ResNet50@160")
    network, known = form[1], names()
    if network not in known:
        lower = {other.lower(): other for other in known}
        close = [lower[other] for other in difflib.get_close_matches(network.lower(), lower, n=4)]
        raise UserError(f"keras.applications has no network {network!r}: there are {', '.join(close or known)}")
    size, smallest = int(form[2] or SIZES.get(network, SIZE)), SMALLEST_OF.get(network, SMALLEST)
    if size < smallest:
        raise UserError(f"{name!r}: {network} takes images of {smallest} px at least")
    return network, size


def names() -> list[str]:
    """The networks of keras.applications."""
    return [name for name in dir(keras.applications) if name[0].isupper()]


def load(name: str, path: str, channels: int, dtype: str, values: Values | None = None) -> Encoder:
    """The encoder of a network's pooled features. It does itself what its module's `preprocess_input` does.

    Args:
        path: file of its weights, see `weights.read`.
        channels: of the images: 3, or 1: gray, which the network sees as a color image.
        dtype: type of their pixels: uint8, uint16 or float32.
        values: what their raw numbers mean; None: all that the type holds counts.

    Raises:
        UserError: no such network, a file that does not fit, or another number of channels.
    """
    network_name, size = named(name)
    network = loaded(name, path)
    if channels not in (1, 3):
        raise UserError(f"{name} takes images of 1 or 3 channels, and here they have {channels}: leave it out")
    order, scale, offset = preprocessing(network_name)
    with policy.using("float32"):
        images = keras.Input((size, size, channels), name="images")
        x = scaled(images, dtype, values)
        if channels == 1:
            x = keras.layers.Concatenate(name="gray_to_color")([x, x, x])
        elif order != [0, 1, 2]:
            x = keras.ops.flip(x, axis=-1)
        scale = (scale * MAXIMUM["uint8"]).tolist()
        x = keras.layers.Rescaling(scale, offset.tolist(), name="preprocessing")(x)
        model = keras.Model(images, network(x), name="encoder")
    origin = {"backbone": f"keras.applications.{network_name}", "weights": path}
    return Encoder(model, of_model(model, dtype, values, origin=origin))


def loaded(name: str, path: str) -> keras.Model:
    """A network with weights from a file: preprocessed color images -> pooled features [B, D]; kept for the next call.

    Raises:
        UserError: no such network, or a file that does not fit.
    """
    network, size = named(name)
    if not os.path.isfile(path):
        raise UserError(f"--weights: there is no file {path!r}; {weights.HOW.format(network=network)}")
    known = os.stat(path)
    return _loaded(network, size, path, (known.st_size, known.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _loaded(name: str, size: int, path: str, stamp: tuple) -> keras.Model:
    with policy.using("float32"):
        network = _function(name)(weights=None, include_top=False, input_shape=(size, size, 3), pooling="avg")
    weights.read(path, network, name)
    _divide_by_std(network)
    return network


def _divide_by_std(network: keras.Model) -> None:
    """Mends EfficientNets (not V2), whose first layer divides by the root of ImageNet's standard deviation.

    The published files hold that deviation in the place of the variance. Keras adds a layer that divides by the root
    again where it downloads the weights itself, and nowhere else. Here the first layer does both.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, count = layer.get_weights()
            if np.allclose(variance, STD, rtol=1e-3):
                layer.set_weights([mean, (variance * STD).astype(variance.dtype), count])
                layer.finalize_state()


def preprocessing(network: str) -> tuple[list[int], np.ndarray, np.ndarray]:
    """What the `preprocess_input` of a network's module does, found by its answers to black and to each color alone.

    Returns:
        The order in which it puts the channels, and scale [3] and offset [3] of each after that.
    """
    preprocess = sys.modules[_function(network).__module__].preprocess_input
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)])[:, None, None, :]
    black, *colors = preprocess(probes)[:, 0, 0]
    gains = (np.stack(colors) - black) / 255  # [channels in, channels out]
    order = gains.argmax(axis=0)
    return order.tolist(), gains[order, range(3)], black


def _function(name: str) -> Callable[..., keras.Model]:
    return getattr(keras.applications, name)
