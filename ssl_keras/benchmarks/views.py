"""How many views a second, beside two yardsticks in the same run.

The yardsticks are the same recipe from stock keras-cv layers, and in Pillow in two worker processes (`pillow_views`).
Ours and keras-cv's run in the same `tf.data` pipeline; ours is also timed as a train step calls it, one batch after the
other. All are timed alternately, so that whatever else the machine does falls on all of them.
"""

import time
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ssl_keras.benchmarks.pillow_views import PillowWorkers
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews

CANVAS = {32: 32, 96: 112, 224: 256}  # side of the canvas for each side of the views
BATCH = {32: 128, 96: 128, 224: 64}
YARDSTICKS = ("keras_cv", "pillow")


def run_views_suite(
    names: tuple[str, ...] = ("simclr", "simclr_cifar", "moco_v2", "byol", "swav"),
    sizes: tuple[int, ...] = (32, 96, 224),
    rounds: int = 7,
    seconds: float = 1.0,
    yardsticks: tuple[str, ...] = YARDSTICKS,
    canvases: np.ndarray | None = None,
    progress=None,
) -> list[dict]:
    """Times every recipe at every size.

    Args:
        names: recipes, keys of `policies.POLICIES`.
        sizes: sides of the views in pixels, keys of `CANVAS`.
        rounds: how often the contestants take turns.
        seconds: how long each makes views in its turn, about.
        yardsticks: which of `YARDSTICKS` to time beside ours.
        canvases: uint8 [N, S, S, 3] to take views of, resized as needed; None: smooth random images.
        progress: called with each row when it is done.

    Returns:
        One dict per recipe and size: "policy", "size", "canvas", "batch"; for "ours", "ours_in_step" and each yardstick
        the median, low and high of views per second over the rounds and the median "per_cpu_second" (of processor
        time, which other programs on the machine disturb less); and in "ratios" and "cpu_ratios" the medians of ours
        over a yardstick's.
    """
    rows = []
    for size in sizes:
        images = _canvases(canvases, CANVAS[size], BATCH[size])
        workers = PillowWorkers(images, size) if "pillow" in yardsticks else None
        for name in names:
            recipe = policies.get(name, size)
            layer = RandomViews(recipe, size)
            contestants = {"ours": _ours(layer, images), "ours_in_step": _ours_in_step(layer, images)}
            if "keras_cv" in yardsticks:
                contestants["keras_cv"] = _keras_cv(recipe, images)
            if workers:
                contestants["pillow"] = _pillow(recipe, workers, len(images))
            row = {"policy": name, "size": size, "canvas": CANVAS[size], "batch": BATCH[size]}
            rows.append(row | _timed(contestants, rounds, seconds))
            if progress:
                progress(rows[-1])
        if workers:
            workers.close()
    return rows


def table(rows: list[dict]) -> str:
    """Formats rows of `run_views_suite` in Markdown: views/s, and ratios of views/s / of views per processor second."""
    lines = ["| views | px | ours | in a step | keras-cv | Pillow | × keras-cv | × Pillow |", "|" + "---|" * 8]
    for row in rows:
        cells = [row["policy"], str(row["size"])]
        for who in ("ours", "ours_in_step", *YARDSTICKS):
            cells.append("{median:,.0f} ({low:,.0f}–{high:,.0f})".format(**row[who]) if who in row else "")
        for who in YARDSTICKS:
            ratios = (row["ratios"][who], row["cpu_ratios"][who]) if who in row else ()
            cells.append(" / ".join(f"{ratio:.1f}" for ratio in ratios))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _timed(contestants, rounds, seconds):
    """Lets the contestants take turns; each is a function of a number of batches that returns a `_Turn`."""
    batches = {}
    for name, take_turn in contestants.items():
        take_turn(1)  # traces, compiles, fills caches
        batches[name] = max(2, round(2 * seconds / take_turn(2).seconds))
    turns = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, take_turn in contestants.items():
            turns[name].append(take_turn(batches[name]))
    result = {}
    for name, taken in turns.items():
        rates = [turn.views / turn.seconds for turn in taken]
        result[name] = {"median": float(np.median(rates)), "low": min(rates), "high": max(rates)}
        result[name]["per_cpu_second"] = float(np.median([turn.views / turn.cpu_seconds for turn in taken]))
    yardsticks = [name for name in contestants if name in YARDSTICKS]
    for what, field in (("ratios", "seconds"), ("cpu_ratios", "cpu_seconds")):
        cost = {name: np.array([getattr(turn, field) / turn.views for turn in taken]) for name, taken in turns.items()}
        result[what] = {name: float(np.median(cost[name] / cost["ours"])) for name in yardsticks}
    return result


class _Turn(NamedTuple):
    views: int
    seconds: float
    cpu_seconds: float


def _watched(make, cpu_elsewhere=lambda: 0.0):
    start, cpu = time.perf_counter(), time.process_time()
    views = make()
    return _Turn(views, time.perf_counter() - start, time.process_time() - cpu + cpu_elsewhere())


def _ours(layer, images):
    return _in_tf_data(images, lambda step, images: tuple(layer(images, step=step)))


def _ours_in_step(layer, images):
    step = tf.Variable(0, dtype=tf.int64)  # as the optimizer's iterations are
    make_views = tf.function(lambda images: layer(images, step=step.assign_add(1)), autograph=False)
    images = tf.constant(images)

    def make(batches):
        for _ in range(batches):
            views = make_views(images)
        views[-1][-1, -1, -1].numpy()  # waits for them
        return batches * len(layer.views) * len(images)

    return lambda batches: _watched(lambda: make(batches))


def _pillow(recipe, workers, images):
    recipe = [asdict(policy) for policy in recipe]
    return lambda batches: _watched(lambda: workers.make(recipe, batches * images), lambda: workers.cpu_seconds)


def _keras_cv(recipe, images):
    pipelines = [_stock_layers(policy) for policy in recipe]
    return _in_tf_data(images, lambda _, images: tuple(layers(tf.cast(images, tf.float32)) for layers in pipelines))


def _in_tf_data(images, make_views):
    """Turns of a pipeline that makes two batches at a time by `make_views`, a function of (step, images)."""
    dataset = tf.data.Dataset.from_tensors(images).repeat().enumerate().map(make_views, num_parallel_calls=2)

    def take_turn(batches):
        # Its start is not counted; it ends with the turn, so that nothing is made in the turns of the others.
        iterator = iter(dataset.take(batches + 2))
        next(iterator), next(iterator)
        return _watched(lambda: sum(len(view) for views in iterator for view in views))

    return take_turn


def _stock_layers(policy):
    """The policy from keras-cv's own layers.

    Their semantics differ (no antialiasing, jitter in a fixed order, other distributions), the kind of work does not.
    """
    from keras_cv import layers

    stages = [
        layers.RandomCropAndResize(
            (policy.size, policy.size), crop_area_factor=policy.crop_area, aspect_ratio_factor=policy.crop_aspect,
        )
    ]  # fmt: skip
    if policy.flip:
        stages.append(layers.RandomFlip("horizontal", rate=policy.flip))
    if policy.jitter:
        jitter = layers.RandomColorJitter(
            value_range=(0, 255), brightness_factor=policy.brightness, contrast_factor=min(policy.contrast, 1.0),
            saturation_factor=(0.5 - 0.4 * policy.saturation, 0.5 + 0.2 * policy.saturation),
            hue_factor=min(2 * policy.hue, 1.0),
        )  # fmt: skip
        stages.append(layers.RandomApply(jitter, rate=policy.jitter))
    if policy.grayscale:
        stages.append(layers.RandomApply(layers.Grayscale(output_channels=3), rate=policy.grayscale))
    if policy.blur:
        blur = layers.RandomGaussianBlur(kernel_size=2 * policy.blur_radius + 1, factor=policy.blur_sigma)
        stages.append(layers.RandomApply(blur, rate=policy.blur))
    if policy.solarize:
        solarize = layers.Solarization(value_range=(0, 255), threshold_factor=(128, 128))
        stages.append(layers.RandomApply(solarize, rate=policy.solarize))
    return layers.Augmenter(stages)


def _canvases(canvases, side, batch):
    if canvases is None:
        coarse = np.random.default_rng(0).uniform(0, 255, (batch, 8, 8, 3)).astype(np.float32)
        canvases = tf.image.resize(coarse, (side, side), method="bicubic").numpy()
    elif canvases.shape[1] != side:
        canvases = tf.image.resize(canvases, (side, side), antialias=True).numpy()
    canvases = np.clip(canvases, 0, 255).astype(np.uint8)
    return canvases[np.arange(batch) % len(canvases)]
