"""Initial values of weights: built-in Keras initializers that differ from layer to layer under one seed."""

import zlib

import keras


def layer_seed(seed, name):
    """Seed of the weight called `name`, below 2**31. Initializers with equal seeds draw equal values."""
    return None if seed is None else zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF


def he_fan_out(seed, name):
    """Normal with variance 2 / fan_out: torchvision's convolutions (He et al., 2015)."""
    seed = layer_seed(seed, name)
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)


def xavier_uniform(seed, name):
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010): the ViT of MAE."""
    return keras.initializers.GlorotUniform(seed=layer_seed(seed, name))


def uniform_fan_in(fan_in, seed, name):
    """Uniform in ±1/√fan_in: kernels and biases of PyTorch's `Linear`."""
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound, seed=layer_seed(seed, name))


def xavier_uniform_of(fan_in, fan_out, seed, name):
    """`xavier_uniform` for a kernel whose fan_in and fan_out are not those of its shape."""
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return keras.initializers.RandomUniform(-bound, bound, seed=layer_seed(seed, name))
