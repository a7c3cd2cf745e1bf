"""`--precision=auto` -> the type in which a run computes."""

import dataclasses
import os

import tensorflow as tf

from ssl_keras import distribute
from ssl_keras.config import Config, read_run

FASTER, PLAIN = "mixed_bfloat16", "float32"


def with_precision(config: Config, strategy: tf.distribute.Strategy | None = None) -> Config:
    """The settings with a precision of Keras's in the place of "auto", and a line about it.

    It is that of the run in the folder, wherever that goes on. For a new run it is bfloat16 where the devices of all
    workers multiply it faster than float32.
    """
    if config.precision != "auto":
        return config
    if config.workdir and os.path.exists(os.path.join(config.workdir, "flags.txt")):
        return dataclasses.replace(config, precision=read_run(config.workdir).precision)
    strategy = strategy or tf.distribute.get_strategy()
    (slower,) = distribute.any_worker(strategy, not distribute.multiplies_bfloat16(strategy))
    if not slower:
        print("computing in bfloat16, which is faster here (--precision=float32: all in float32)")
    return dataclasses.replace(config, precision=PLAIN if slower else FASTER)
