"""The same training by lightly (PyTorch), for a comparison, where a Python is named that has it.

It is never needed otherwise. `lightly_worker` is what that Python runs.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import time

import numpy as np

from ssl_keras import machine, methods
from ssl_keras.benchmarks.training import Workers, spread
from ssl_keras.build.arguments import method_arguments
from ssl_keras.build.data import load, open_training_source, resolve
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.evals import knn
from ssl_keras.evals.data import Data
from ssl_keras.evals.features import Features
from ssl_keras.evals.online import bank_and_queries
from ssl_keras.evals.subject import Subject
from ssl_keras.nn.resnet import ARCHITECTURES

WORKER = pathlib.Path(__file__).with_name("lightly_worker.py")
EPOCHS = 8  # of its schedule


def missing(python: str) -> str | None:
    """Why a Python cannot run lightly; None where it can."""
    try:
        done = subprocess.run([python, "-c", "import lightly, torch"], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return (done.stderr.strip().splitlines() or ["it ended without a word"])[-1] if done.returncode else None


class Images:
    """The training images of a run, written for another process."""

    def __init__(self, config: Config, folder: str):
        method_class = methods.load(config.method)
        source = open_training_source(config, method_class)
        self.config, spec = resolve(config, source, method_class)
        canvases = load(source, spec, self.config)
        self.labels, self.path = canvases.labels, os.path.join(folder, "images.npy")
        np.save(self.path, canvases.images)


class Process:
    """lightly's run beside one of ours.

    Raises:
        UserError: the method is not `simclr`, or the network not `resnet8`.
    """

    def __init__(self, python: str, images: Images, precision: str, seed: int = 0):
        config = images.config
        if (config.method, config.backbone) != ("simclr", "resnet8"):
            raise UserError(
                f"lightly is compared by --method=simclr --backbone=resnet8, not {config.method}, {config.backbone}"
            )
        arguments = method_arguments(config, methods.load("simclr"))
        widths = [round(config.width * channels) for channels in ARCHITECTURES["resnet8"].channels]
        self.process = subprocess.Popen([python, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask(
            images=images.path,
            widths=widths,
            head=[arguments.get("hidden_dim") or widths[-1], arguments.get("projection_dim", 128)],
            temperature=arguments.get("temperature", 0.1),
            batch_size=config.batch_size,
            epochs=EPOCHS,
            precision=precision,
            seed=seed,
            workers=os.cpu_count(),
        )

    def ask(self, **request) -> dict:
        print(json.dumps(request), file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise UserError(f"lightly's process ended with status {self.process.wait()}; its messages are above")

    def speed(self, part: str, seconds: float) -> float:
        """Images per second of its loop, the one part that it has."""
        return self.ask(do="speed", seconds=seconds)["per_second"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def run(config: Config, python: str, folder: str, rounds: int, seconds: float) -> dict:
    """Images per second of the whole loop, ours and lightly's in turn, in float32 and, where the processor multiplies
    it faster, in bfloat16; and the ratios of ours to lightly's: in the same precision, and as both come by default.

    Args:
        folder: for the images.
    """
    precisions = ["float32", "mixed_bfloat16"] if machine.multiplies_bfloat16() else ["float32"]
    images, taken = Images(config, folder), {}
    contestants = {}
    for precision in precisions:
        settings = dataclasses.replace(config, precision=precision)
        contestants[f"ours, {precision}"] = Workers(settings)
        contestants[f"lightly, {precision}"] = Process(python, images, precision)
    for _ in range(rounds):
        for name, contestant in contestants.items():
            ours = isinstance(contestant, Workers)
            measure = contestant.measure if ours else contestant.speed
            taken.setdefault(name, []).append(measure("loop", seconds))
    for contestant in contestants.values():
        contestant.__exit__()
    pairs = {precision: (f"ours, {precision}", f"lightly, {precision}") for precision in precisions}
    pairs["by default"] = (f"ours, {precisions[-1]}", "lightly, float32")
    return {
        "suite": "lightly",
        "backbone": config.backbone,
        "width": config.width,
        "batch_size": config.batch_size,
        "image_size": images.config.image_size,
        "cpus": os.cpu_count(),
        "rounds": rounds,
        "images_per_second": {name: spread(values) for name, values in taken.items()},
        "ratios": {
            name: spread([a / b for a, b in zip(taken[ours], taken[theirs])]) for name, (ours, theirs) in pairs.items()
        },
    }


def table(row: dict) -> str:
    """The row as text."""
    lines = [
        f"lightly: simclr, {row['backbone']} x{row['width']:g}, batch {row['batch_size']}, {row['image_size']} px, "
        f"{row['cpus']} CPUs, {row['rounds']} rounds"
    ]
    for name, value in row["images_per_second"].items():
        lines.append(f"  {name:<28}{value['median']:>8.0f}   ({value['min']:.0f} .. {value['max']:.0f}) images/s")
    for name, value in row["ratios"].items():
        lines.append(
            f"  ours / lightly, {name:<16}{value['median']:>8.2f}   ({value['min']:.2f} .. {value['max']:.2f})"
        )
    return "\n".join(lines)


def timed(python: str, images: Images, seed: int, folder: str, test: dict) -> dict:
    """A whole run of lightly by its own recipe, from the start of its process.

    Returns:
        {"seed", "total_seconds", "knn_top1" (of training images whose labels are held out), "test": {"knn"}}.
    """
    start = time.perf_counter()
    with Process(python, images, "float32", seed) as process:
        process.ask(do="train")
        total = time.perf_counter() - start
        x = _embedded(process, images.path, folder)
        data = Data(images.config, test.get("test_examples")).images_for("pixels")
        tests = os.path.join(folder, "test.npy")
        np.save(tests, data.canvases[1].images)
        test_x = _embedded(process, tests, folder)
    bank, queries = (Features(x[rows], images.labels[rows]) for rows in bank_and_queries(images.labels))
    held_out = knn.evaluate(Subject(lambda: (bank, queries)), knn.Options())[0].value
    trained = Features(x, images.labels)
    tested = Features(test_x, data.canvases[1].labels)
    score = knn.evaluate(Subject(lambda: (trained, tested)), knn.Options())[0].value
    return {"seed": seed, "total_seconds": total, "knn_top1": held_out, "test": {"knn": score}}


def told(runs: list[dict]) -> str:
    """The runs of `timed` as text."""
    lines = ["lightly, its own recipe"]
    for run in runs:
        lines.append(
            f"  seed {run['seed']}: {run['total_seconds']:.0f} s; kNN {100 * run['knn_top1']:.1f} % on held-out "
            f"training images, {100 * run['test']['knn']:.1f} % on test images"
        )
    return "\n".join(lines)


def _embedded(process: Process, path: str, folder: str) -> np.ndarray:
    features = os.path.join(folder, "features.npy")
    process.ask(do="embed", source=path, target=features)
    return np.load(features)
