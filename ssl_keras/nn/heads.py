"""Projectors and predictors: the papers' small multilayer perceptrons, with their biases and batch norms.

A head is a built `keras.Sequential`, float [B, input] -> [B, output]. It is not part of the encoder that is shipped.
Its batch norms are group norms where `norm.using` says so.
"""

import keras

from ssl_keras.errors import UserError
from ssl_keras.nn import initializers
from ssl_keras.nn.norm import normalization

BATCH_NORMS = ("hidden", "all", "none")


def mlp(
    dims,
    name,
    batch_norm="hidden",
    use_bias="auto",
    last_bn_center=True,
    last_bn_scale=True,
    seed=None,
):
    """A perceptron: linear, batch norm, ReLU, ..., linear, batch norm.

    Kernels and biases start uniform in ±1/√fan_in, as in PyTorch's `Linear`. With other starts SimSiam may not converge
    (App. B). The normal(0, 0.01) of SimCLR's released code, which LARS rescales, makes SGD's first steps too long.

    Args:
        dims: sequence of ints: input, hidden layers, output. Two of them make one linear layer.
        name: name of the model, and beginning of its variables' paths.
        batch_norm: after which linear layers a batch norm follows: "hidden" (all but the last), "all" or "none".
        use_bias: one bool per linear layer, or "auto": a bias exactly where no batch norm follows, whose beta is the
            bias.
        last_bn_center, last_bn_scale: whether the last layer's batch norm (with "all") learns a beta and a gamma.
        seed: int for reproducible initial weights, or None.

    Raises:
        UserError: fewer than two dims, a `use_bias` of another length than the layers, or an unknown `batch_norm`.
    """
    num_layers = len(dims) - 1
    if num_layers < 1:
        raise UserError(f"dims must name the input and at least one layer, not {tuple(dims)}")
    if batch_norm not in BATCH_NORMS:
        raise UserError(f"unknown batch_norm {batch_norm!r}: use one of {', '.join(BATCH_NORMS)}")
    normalized = [batch_norm != "none"] * (num_layers - 1) + [batch_norm == "all"]
    biased = [not n for n in normalized] if use_bias == "auto" else list(use_bias)
    if len(biased) != num_layers:
        raise UserError(f"use_bias={use_bias!r} must have one value for each of {num_layers} linear layers")

    head = keras.Sequential([keras.Input((dims[0],), name="features")], name=name)
    for i, units in enumerate(dims[1:], 1):
        last = i == num_layers
        head.add(_linear(dims[i - 1], units, biased[i - 1], seed, f"{name}_linear{i}"))
        if normalized[i - 1]:
            affine = {"center": last_bn_center, "scale": last_bn_scale} if last else {}
            head.add(normalization(f"{name}_bn{i}", units, vector=True, **affine))
        if not last:
            head.add(keras.layers.ReLU(name=f"{name}_relu{i}"))
    return head


def _linear(fan_in, units, use_bias, seed, name):
    kernel = initializers.uniform_fan_in(fan_in, seed, name)
    bias = initializers.uniform_fan_in(fan_in, seed, f"{name}_bias")
    return keras.layers.Dense(
        units, use_bias=use_bias, kernel_initializer=kernel, bias_initializer=bias, name=name
    )


def moco_head(input_dim, hidden_dim=None, output_dim=128, name="projector", seed=None):
    """MoCo's head, without batch norm: linear (v1), or with `hidden_dim` (v2: 2048) linear, ReLU, linear."""
    dims = (input_dim, output_dim) if hidden_dim is None else (input_dim, hidden_dim, output_dim)
    return mlp(dims, name, batch_norm="none", seed=seed)


def simclr_projector(input_dim, num_layers=3, hidden_dim=None, output_dim=128, name="projector", seed=None):
    """SimCLR's projection head: linear layers without bias, batch norm after each, the last without beta.

    Args:
        num_layers: 2 is the paper's nonlinear head and 3 the released code's. 1 is the linear head and 0 no head (h
            itself, `output_dim` is ignored) of the paper's Figure 8.
        hidden_dim: int; None: the input's dimension.
    """
    if num_layers == 0:
        identity = keras.layers.Identity(name=f"{name}_identity")
        return keras.Sequential([keras.Input((input_dim,), name="features"), identity], name=name)
    dims = (input_dim, *[hidden_dim or input_dim] * (num_layers - 1), output_dim)
    return mlp(dims, name, batch_norm="all", last_bn_center=False, seed=seed)


def byol_mlp(input_dim, hidden_dim=4096, output_dim=256, name="projector", seed=None):
    """BYOL's projector, and its predictor: linear with bias, batch norm, ReLU, linear without bias."""
    return mlp((input_dim, hidden_dim, output_dim), name, use_bias=(True, False), seed=seed)


def simsiam_projector(input_dim, num_layers=3, output_dim=2048, last_bn_affine=True, name="projector", seed=None):
    """SimSiam's projection MLP: batch norm after every layer (Section 3); 2 layers for CIFAR-10 (App. D).

    Args:
        last_bn_affine: whether the last batch norm has gamma and beta: yes in the paper's text, no in the released
            code.
    """
    dims = (input_dim, *[output_dim] * num_layers)
    return mlp(
        dims, name, batch_norm="all", last_bn_center=last_bn_affine, last_bn_scale=last_bn_affine, seed=seed
    )


def simsiam_predictor(dim=2048, hidden_dim=512, name="predictor", seed=None):
    """SimSiam's prediction MLP, a bottleneck: linear, batch norm, ReLU, linear with bias (Section 3)."""
    return mlp((dim, hidden_dim, dim), name, seed=seed)
