"""A tiny instance of any method on a tiny batch, for the tests of all and of each.

The test file of a method, `test_NAME.py`, may say how it is made small: `TINY`, a dict of constructor arguments,
`BACKBONE`, a dict of arguments of `build_backbone`, and `VIEWS`, a recipe, of which the views' number and sizes are
taken.

What a network or a recipe does inside is not what these tests are about, and most of their time would go into it: the
network is one convolution, and views are cropped and flipped.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import methods, optim
from ssl_keras.nn import resnet
from ssl_keras.nn.backbones import build_backbone
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews

SIZE, BATCH, CLASSES = 16, 16, 10
resnet.ARCHITECTURES["stem"] = resnet.Architecture((0,), (128,), 1)
resnet.ARCHITECTURES["resnet4"] = resnet.Architecture((1,), (128,), 1)
FACTS = {"num_classes": CLASSES, "num_examples": 64, "batch_size": BATCH, "total_steps": 10}


def make(name: str, learning_rate: float = 0.1, **arguments) -> keras.Model:
    """The method on a narrow network of 16 px, compiled with plain SGD; same weights each time."""
    keras.utils.set_random_seed(0)
    method_class = methods.load(name)
    own = importlib.import_module(f"tests.methods.test_{name}")
    backbone = build_backbone(**getattr(own, "BACKBONE", {"name": "stem"}), image_size=SIZE, channels=3, seed=0)
    arguments = {**getattr(own, "TINY", {}), **arguments}
    recipe = policies.get(getattr(own, "VIEWS", method_class.default_views), SIZE)
    views = views_of(tuple(policy.size for policy in recipe))
    wanted = inspect.signature(method_class.__init__).parameters
    facts = {key: value for key, value in FACTS.items() if key in wanted}
    method = method_class(backbone, views, **{**facts, **arguments})
    method.compile(optimizer=optim.build_optimizer("sgd", learning_rate, held=method.held), jit_compile=False)
    return method


@functools.cache
def views_of(sizes: tuple[int, ...]) -> RandomViews:
    """Views of these sizes, by the same layer for all methods: it has no variables, and its graphs are traced once."""
    return RandomViews([policies.Policy(size=size) for size in sizes], SIZE, seed=0, jit_compile=False)


def batches(steps: int, seed: int = 0, partners: bool = False) -> tf.data.Dataset:
    """`steps` global batches of smooth random images, each of its own color and layout.

    Args:
        partners: whether each image has another one that belongs to it, here the next.
    """
    rng = np.random.default_rng(seed)
    n = steps * BATCH
    coarse = rng.uniform(0, 255, (n, 4, 4, 3))
    images = np.asarray(tf.image.resize(coarse, [SIZE, SIZE], "bicubic")).clip(0, 255).astype(np.uint8)
    parts = {
        "image": images,
        "size": np.full((n, 2), SIZE, np.float32),
        "index": np.arange(n, dtype=np.int64) % FACTS["num_examples"],
        "label": (np.arange(n) % CLASSES).astype(np.int32),
    }
    if partners:
        parts |= {"partner": np.roll(images, 1, axis=0), "partner_size": parts["size"]}
    data = tf.data.Dataset.from_tensor_slices(parts)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return data.batch(BATCH, drop_remainder=True).with_options(options)


def train(
    method: keras.Model,
    data: tf.data.Dataset,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    traced: bool = False,
) -> dict:
    """One epoch; the logs of its end.

    Args:
        callbacks: of which `on_train_batch_end` is called.
        traced: by a graph of the step, made once for each method; else operation by operation, which costs less where
            the steps are few: every method's graph is a statement of test_every_method. Several replicas have a graph.
    """
    if method.distribute_strategy.num_replicas_in_sync > 1:
        history = method.fit(data, callbacks=callbacks, verbose=0).history
        return {name: values[-1] for name, values in history.items()}
    step = traced_step(method) if traced else method.train_step
    method.reset_metrics()
    for number, batch in enumerate(data):
        logs = step(batch)
        for callback in callbacks:
            callback.set_model(method)
            callback.on_train_batch_end(number, logs)
    return {name: float(value) for name, value in logs.items()}


def traced_step(method: keras.Model) -> Callable[[dict], dict]:
    """A graph of the method's step, always the same one; XLA compiles it where `jit_compile` says so."""
    made = vars(method)
    if "traced_step" not in made:
        made["traced_step"] = tf.function(method.train_step, autograph=False, jit_compile=method.jit_compile is True)
    return made["traced_step"]


def weights(method: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in method.weights]
