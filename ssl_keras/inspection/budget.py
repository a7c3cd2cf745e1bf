"""How long a training would take on this machine: the operations of the network by what a matrix product reaches here.

It is a rough estimate: runs beside others reached from 0.4 to 0.8 of a matrix product on two cores.
"""

import time
from typing import NamedTuple

import tensorflow as tf

from ssl_keras import machine

# Multiplications per pixel of a view, counted from the layers of `nn.backbones`: up to `SMALL_STEM` px, and above.
SMALL_STEM = 64
PER_PIXEL = {"resnet8": (47_968, 4_120), "resnet18": (542_400, 36_144), "resnet50": (1_267_392, 81_456)}
VIEWS, PASSES, OPERATIONS = 2, 3, 2  # of an image; forward and twice that backward; a product and a sum
REACHED, REACHED_GPU = 0.4, 0.15  # share of a matrix product's speed that a step reaches; on GPUs a guess
SIDE, SECONDS = 1024, 0.5  # of the matrices that are multiplied, and how long


class Machine(NamedTuple):
    """Cores, whether there is a GPU, and operations per second in a product of matrices."""

    cores: int
    gpu: bool
    operations: float

    @property
    def share(self) -> float:
        """Of that speed, what a training step reaches."""
        return REACHED_GPU if self.gpu else REACHED

    def __str__(self) -> str:
        return "a GPU" if self.gpu else f"{self.cores} core{'s' * (self.cores != 1)}"


def measured() -> Machine:
    """This machine. The product is in the type that --precision=auto computes in."""
    gpu = bool(tf.config.list_physical_devices("GPU"))
    kind = tf.bfloat16 if gpu or machine.multiplies_bfloat16() else tf.float32
    side = SIDE * (8 if gpu else 1)
    matrix = tf.ones([side, side], kind)
    tf.linalg.matmul(matrix, matrix).numpy()  # the first one sets things up
    until, best = time.monotonic() + SECONDS, float("inf")
    while time.monotonic() < until:
        began = time.monotonic()
        tf.linalg.matmul(matrix, matrix)[0, 0].numpy()  # waits for it
        best = min(best, time.monotonic() - began)  # other programs only make it longer
    return Machine(machine.cores(), gpu, 2.0 * side**3 / best)


def operations_per_image(backbone: str, image_size: int) -> float:
    """Of a training step on two views of an image."""
    small, large = PER_PIXEL[backbone]
    return VIEWS * PASSES * OPERATIONS * image_size**2 * (small if image_size <= SMALL_STEM else large)


def images_per_second(backbone: str, image_size: int, on: Machine) -> float:
    return on.share * on.operations / operations_per_image(backbone, image_size)
