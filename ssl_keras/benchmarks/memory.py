"""Peak memory and time of a training step by batch size, at once and in micro-batches.

Each point is a process of its own, since a process's peak never falls. It makes a few SimCLR steps on random canvases.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time

from ssl_keras.config import Config

BATCH_SIZES = (256, 512, 1024, 2048, 4096)
MICRO_BATCH_SIZE = 256
SHARE = 0.6  # of the free memory that a point may be expected to need
SECONDS = 600  # that a point may take


def run(config: Config, batch_sizes=BATCH_SIZES, micro_batch_size=MICRO_BATCH_SIZE, steps: int = 3) -> list[dict]:
    """Measures every batch size, plain and in micro-batches.

    A plain step that would need more than `SHARE` of the free memory, by the slope of the points before it, is left
    out; so is a point that takes longer than `SECONDS`.

    Args:
        config: backbone, width, norm, precision, image_size (None: 32) and channels (None: 3) of the networks.
        batch_sizes: rising multiples of `micro_batch_size`.
        steps: of each point, at least 2; the first one, which traces and compiles, is not timed.

    Returns:
        A row for each point: {"suite", "backbone", "norm", "batch_size", "micro_batch_size" (None: plain),
        "peak_bytes", "seconds_per_image"}; without the last two but with "left_out", the reason, where there is none.
    """
    rows = []
    for micro in (None, micro_batch_size):
        for batch_size in batch_sizes:
            row = {"suite": "memory", "backbone": config.backbone, "norm": config.norm, "batch_size": batch_size}
            row["micro_batch_size"] = micro
            before = [r["peak_bytes"] for r in rows if r["micro_batch_size"] is None and "peak_bytes" in r]
            rows.append(row | _point(config, batch_size, micro, steps, before))
    return rows


def table(rows: list[dict]) -> str:
    """The rows as text, with their ratios to the first one."""
    first = rows[0]
    lines = [f"memory: simclr, {first['backbone']}, norm={first['norm']}"]
    for row in rows:
        name = f"  batch {row['batch_size']:>5}, " + (
            f"micro-batches of {row['micro_batch_size']}" if row["micro_batch_size"] else "plain"
        )
        if "left_out" in row:
            lines.append(f"{name:<42} {row['left_out']}")
            continue
        ratios = ""
        if "peak_bytes" in first:
            ratios = f"   x{row['peak_bytes'] / first['peak_bytes']:.2f} memory"
            ratios += f"  x{row['seconds_per_image'] / first['seconds_per_image']:.2f} time"
        lines.append(
            f"{name:<42}{row['peak_bytes'] / 2**20:>8.0f} MiB{1000 * row['seconds_per_image']:>9.3f} ms/image{ratios}"
        )
    return "\n".join(lines)


def _point(config, batch_size, micro, steps, before):
    if micro is None and len(before) > 1:
        expected = before[-1] + 2 * (before[-1] - before[-2])  # batches double, and so do the steps of the peak
        if expected > SHARE * _free_bytes():
            return {"left_out": f"would need about {expected / 2**30:.0f} GiB"}
    settings = dataclasses.replace(config, batch_size=batch_size, micro_batch_size=micro)
    program = "from ssl_keras.benchmarks import memory; memory.work()"
    request = json.dumps({"config": dataclasses.asdict(settings), "steps": steps})
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], input=request, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return {"left_out": f"took longer than {SECONDS} s"}
    if done.returncode:
        return {"left_out": f"ended with status {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"}
    return json.loads(done.stdout.splitlines()[-1])


def _free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def work() -> None:
    """One point: reads its settings from standard input, and answers with one line of JSON."""
    request = json.loads(sys.stdin.readline())
    config, steps = Config(**request["config"]), request["steps"]

    import keras
    import tensorflow as tf

    from ssl_keras import machine, methods
    from ssl_keras.build.method import normalization, untrained_backbone
    from ssl_keras.build.precision import with_precision
    from ssl_keras.views.layer import RandomViews
    from ssl_keras.views.policies import get

    size, channels = config.image_size or 32, config.channels or 3
    config = dataclasses.replace(config, image_size=size, channels=channels)
    keras.config.set_dtype_policy(with_precision(config).precision)
    backbone = untrained_backbone(config, mean=None, std=None)
    with normalization(config):
        views = RandomViews(get(config.views or "simclr_cifar", size), size)
        method = methods.load("simclr")(backbone, views)
    method.micro_batch_size = config.micro_batch_size
    method.compile(optimizer="sgd", jit_compile=False)
    b = config.batch_size
    batch = {
        "image": tf.random.stateless_uniform([b, size, size, channels], (0, 0), 0, 256, tf.int32),
        "size": tf.fill([b, 2], float(size)),
        "index": tf.range(b, dtype=tf.int64),
        "label": tf.fill([b], -1),
    }
    batch["image"] = tf.cast(batch["image"], tf.uint8)
    step = tf.function(method.train_step, autograph=False)
    taken = []
    for _ in range(steps):
        start = time.perf_counter()
        float(step(batch)["loss"])
        taken.append(time.perf_counter() - start)
    answer = {"peak_bytes": machine.peak_memory_bytes(), "seconds_per_image": min(taken[1:]) / b}
    print(json.dumps(answer), flush=True)
