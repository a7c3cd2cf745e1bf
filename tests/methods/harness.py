"""A tiny instance of any method on a tiny batch, for the tests of all and of each.

The test file of a method, `test_NAME.py`, may say how it is made small: `TINY`, a dict of constructor arguments, and
`BACKBONE`, a dict of arguments of `build_backbone`.
"""

import importlib
import inspect
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import methods, optim
from ssl_keras.nn.backbones import build_backbone
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews

SIZE, BATCH, CLASSES = 16, 16, 10
FACTS = {"num_classes": CLASSES, "num_examples": 64, "batch_size": BATCH, "total_steps": 10}


def make(name: str, learning_rate: float = 0.1, **arguments) -> keras.Model:
    """The method on a narrow ResNet-8 of 16 px, compiled with plain SGD; same weights each time."""
    keras.utils.set_random_seed(0)
    method_class = methods.load(name)
    own = importlib.import_module(f"tests.methods.test_{name}")
    backbone = build_backbone(
        **getattr(own, "BACKBONE", {"name": "resnet8", "width": 0.25}), image_size=SIZE, channels=3, seed=0
    )
    arguments = {**getattr(own, "TINY", {}), **arguments}
    views = RandomViews(policies.get(method_class.default_views, SIZE), SIZE, seed=0, jit_compile=False)
    wanted = inspect.signature(method_class.__init__).parameters
    facts = {key: value for key, value in FACTS.items() if key in wanted}
    method = method_class(backbone, views, **{**facts, **arguments})
    method.compile(optimizer=optim.build_optimizer("sgd", learning_rate, held=method.held), jit_compile=False)
    method.optimizer.build(method.trainable_variables)
    return method


def batches(steps: int, seed: int = 0) -> tf.data.Dataset:
    """`steps` global batches of smooth random images, each of its own color and layout."""
    rng = np.random.default_rng(seed)
    n = steps * BATCH
    coarse = rng.uniform(0, 255, (n, 4, 4, 3))
    images = np.asarray(tf.image.resize(coarse, [SIZE, SIZE], "bicubic")).clip(0, 255).astype(np.uint8)
    data = tf.data.Dataset.from_tensor_slices(
        {
            "image": images,
            "size": np.full((n, 2), SIZE, np.float32),
            "index": np.arange(n, dtype=np.int64) % FACTS["num_examples"],
            "label": (np.arange(n) % CLASSES).astype(np.int32),
        }
    )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return data.batch(BATCH, drop_remainder=True).with_options(options)


def train(method: keras.Model, data: tf.data.Dataset, callbacks: Sequence[keras.callbacks.Callback] = ()) -> dict:
    """One epoch; the logs of its end."""
    history = method.fit(data, callbacks=callbacks, verbose=0).history
    return {name: values[-1] for name, values in history.items()}


def weights(method: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in method.weights]
