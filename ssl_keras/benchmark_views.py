"""How many views a second, beside two yardsticks in the same run.

The yardsticks are the same recipe from stock keras-cv layers in `tf.data`, and in Pillow in two worker processes
(`pillow_views`). The three are timed alternately, so that whatever else the machine does falls on all of them.
"""

import itertools
import time
from dataclasses import asdict

import numpy as np
import tensorflow as tf

from ssl_keras.pillow_views import PillowWorkers
from ssl_keras.views import policies
from ssl_keras.views.layer import RandomViews

CANVAS = {32: 32, 96: 112, 224: 256}  # side of the canvas for each side of the views
BATCH = {32: 512, 96: 128, 224: 64}
KERAS_CV_BATCH = {32: 64, 96: 32, 224: 16}  # its speed hardly depends on it; small, so that turns are short


def run_views_suite(
    names: tuple[str, ...] = ("simclr", "simclr_cifar", "moco_v2", "byol", "swav"),
    sizes: tuple[int, ...] = (32, 96, 224),
    rounds: int = 7,
    seconds: float = 1.0,
    yardsticks: tuple[str, ...] = ("keras_cv", "pillow"),
    canvases: np.ndarray | None = None,
    progress=None,
) -> list[dict]:
    """Times every recipe at every size.

    Args:
        names: recipes, keys of `policies.POLICIES`.
        sizes: sides of the views in pixels, keys of `CANVAS`.
        rounds: how often the contestants take turns.
        seconds: how long each makes views in its turn, about.
        yardsticks: which of "keras_cv" and "pillow" to time beside ours.
        canvases: uint8 [N, S, S, 3] to take views of, resized as needed; None: smooth random images.
        progress: called with each row when it is done.

    Returns:
        One dict per recipe and size: "policy", "size", "canvas", "batch"; for "ours" and each yardstick the median, low
        and high of views per second over the rounds and the median "per_cpu_second" (of processor time, which other
        programs on the machine disturb less); and in "ratios" and "cpu_ratios" the medians of ours over a yardstick's.
    """
    rows = []
    for size in sizes:
        images = _canvases(canvases, CANVAS[size], BATCH[size])
        workers = PillowWorkers(images, size) if "pillow" in yardsticks else None
        for name in names:
            recipe = policies.get(name, size)
            contestants = {"ours": _ours(recipe, images)}
            if "keras_cv" in yardsticks:
                contestants["keras_cv"] = _keras_cv(recipe, images[: KERAS_CV_BATCH[size]])
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
    lines = ["| views | px | ours | keras-cv | Pillow | × keras-cv | × Pillow |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [row["policy"], str(row["size"])]
        for who in ("ours", "keras_cv", "pillow"):
            cells.append("{median:,.0f} ({low:,.0f}–{high:,.0f})".format(**row[who]) if who in row else "")
        for who in ("keras_cv", "pillow"):
            ratios = (row["ratios"][who], row["cpu_ratios"][who]) if who in row else ()
            cells.append(" / ".join(f"{ratio:.1f}" for ratio in ratios))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _timed(contestants, rounds, seconds):
    """Lets the contestants take turns; each is a function of a number of batches.

    It returns how many views it made, and how many seconds of processors other processes spent on them.
    """
    batches = {}
    for name, make in contestants.items():
        make(1)  # traces, compiles, fills caches
        start = time.perf_counter()
        make(1)
        batches[name] = max(1, round(seconds / (time.perf_counter() - start)))
    turns = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, make in contestants.items():
            make(0)  # lets what works ahead get under way
            start, own_cpu = time.perf_counter(), time.process_time()
            views, workers_cpu = make(batches[name])
            cpu = time.process_time() - own_cpu + workers_cpu
            turns[name].append((views / (time.perf_counter() - start), views / cpu))
    result = {}
    for name, turn in turns.items():
        rates, per_cpu = zip(*turn)
        result[name] = {"median": float(np.median(rates)), "low": min(rates), "high": max(rates)}
        result[name]["per_cpu_second"] = float(np.median(per_cpu))
    for what, k in (("ratios", 0), ("cpu_ratios", 1)):
        result[what] = {
            name: float(np.median([ours[k] / theirs[k] for ours, theirs in zip(turns["ours"], turn)]))
            for name, turn in turns.items()
            if name != "ours"
        }
    return result


def _ours(recipe, images):
    layer = RandomViews(recipe, recipe[0].size)
    step = tf.function(lambda images, step: layer(images, step=step))  # as in a train step
    images = tf.constant(images)
    steps = itertools.count()

    def make(batches):
        for _ in range(batches):
            views = step(images, tf.constant(next(steps), tf.int64))
            views[-1][-1, -1, -1].numpy()  # waits for them
        return batches * len(recipe) * len(images), 0.0

    return make


def _pillow(recipe, workers, images):
    recipe = [asdict(policy) for policy in recipe]
    return lambda batches: workers.make(recipe, batches * images)


def _keras_cv(recipe, images):
    pipelines = [_stock_layers(policy) for policy in recipe]
    dataset = tf.data.Dataset.from_tensors(images).repeat()
    dataset = dataset.map(lambda x: [pipeline(tf.cast(x, tf.float32)) for pipeline in pipelines], num_parallel_calls=2)
    iterator = iter(dataset)

    def make(batches):
        if batches == 0:  # two batches were made ahead in the turns of the others: they do not count
            next(iterator), next(iterator)
        return sum(len(view) for _ in range(batches) for view in next(iterator)), 0.0

    return make


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
