"""Images per second of training and of its parts, beside the same step in plain Keras, measured in turn in one run.

Worker processes are alive at once and work one at a time: ours; one with stock BatchNormalization and TensorFlow's
default switches; one without oneDNN (switches can only be chosen before TensorFlow is imported). Machines drift, so
each round measures every part once and ratios are formed within rounds.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys

from ssl_keras.config import Config
from ssl_keras.errors import UserError

PARTS = {
    "train": (
        "loop",
        "step",
        "step_without_views",
        "passes",
        "passes_by_xla",
        "passes_without_onednn",
        "plain_keras_step",
        "input",
        "peak",
    ),
    "input": ("input",),
}
# Of a part that another process measures: that process, and the part that it measures.
ELSEWHERE = {"plain_keras_step": ("plain", "step"), "passes_without_onednn": ("eigen", "passes")}
RATIOS = {
    "loop / step": ("loop", "step"),
    "step / plain_keras_step": ("step", "plain_keras_step"),
    "step / step_without_views": ("step", "step_without_views"),
    "passes / step_without_views": ("passes", "step_without_views"),  # what a method costs beside its networks
}


def run(suites: list[str], config: Config, rounds: int, seconds: float) -> list[dict]:
    """Measures the suites for the method, backbone, data and batch of `config`.

    Args:
        suites: of `PARTS`.
        rounds: each measures every part once.
        seconds: that one measurement takes, about.

    Returns:
        A row for each suite: {"suite", "method", "backbone", "batch_size", "image_size", "images_per_second": {part:
        {"median", "min", "max"}}, "ratios": {name: {"median", "min", "max"}}}. With the passes also "flop_per_image"
        (counted), "peak_flops" (of large matrix products in the run's precision, measured in each round), and among the
        ratios the passes' share of that peak.
    """
    rows = []
    with Workers(config) as workers:
        for suite in suites:
            taken = {part: [] for part in PARTS[suite]}
            for _ in range(rounds):
                for part, values in taken.items():
                    values.append(workers.measure(part, seconds))
            ratios = {
                name: [a / b for a, b in zip(taken[over], taken[under])]
                for name, (over, under) in RATIOS.items()
                if over in taken and under in taken
            }
            work = {}
            if "peak" in taken:
                flop, peaks = workers.facts["flop_per_image"], taken.pop("peak")
                work = {"flop_per_image": flop, "peak_flops": spread(peaks)}
                for part in [part for part in taken if part.startswith("passes")]:
                    ratios[f"{part}, share of the peak"] = [flop * a / b for a, b in zip(taken[part], peaks)]
            rows.append(
                {
                    "suite": suite,
                    "method": config.method,
                    "backbone": config.backbone,
                    "width": config.width,
                    "batch_size": config.batch_size,
                    "image_size": workers.facts["image_size"],
                    "precision": workers.facts["precision"],
                    "data": config.data,
                    "cpus": os.cpu_count(),
                    "rounds": rounds,
                    "images_per_second": {part: spread(values) for part, values in taken.items()},
                    "ratios": {name: spread(values) for name, values in ratios.items()},
                    **work,
                }
            )
    return rows


def table(rows: list[dict]) -> str:
    """The rows as text."""
    lines = []
    for row in rows:
        lines.append(
            f"{row['suite']}: {row['method']}, {row['backbone']} x{row['width']:g}, batch {row['batch_size']}, "
            f"{row['image_size']} px, {row['precision']}, {row['cpus']} CPUs, {row['rounds']} rounds"
        )
        if "flop_per_image" in row:
            lines.append(
                f"  passes: {row['flop_per_image'] / 1e9:.3g} GFLOP per image; peak of matrix products: "
                f"{row['peak_flops']['median'] / 1e9:.0f} GFLOP/s"
            )
        for heading, digits in (("images_per_second", 0), ("ratios", 3)):
            for name, value in row[heading].items():
                lines.append(
                    f"  {name:<28}{value['median']:>10.{digits}f}   ({value['min']:.{digits}f} .. "
                    f"{value['max']:.{digits}f}){' images/s' if digits == 0 else ''}"
                )
    return "\n".join(lines)


class Workers:
    """The processes, each started when the first measurement needs it."""

    def __init__(self, config: Config):
        self.config, self.processes, self.facts = config, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.stdin.close()
            process.wait()

    def measure(self, part: str, seconds: float) -> float:
        kind, part = ELSEWHERE.get(part, ("ours", part))
        process = self._process(kind)
        print(json.dumps({"part": part, "seconds": seconds}), file=process.stdin, flush=True)
        return self._answer(process)["per_second"]

    def _process(self, kind: str) -> subprocess.Popen:
        if kind not in self.processes:
            imports = "import tensorflow; " if kind == "plain" else ""  # before our switches are set
            environment = dict(os.environ)
            if kind == "plain":
                environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
            elif kind == "eigen":
                environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
            process = subprocess.Popen(
                [sys.executable, "-c", f"{imports}from ssl_keras.benchmarks import parts; parts.work()", kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            self.processes[kind] = process
            print(json.dumps(dataclasses.asdict(self.config)), file=process.stdin, flush=True)
            facts = self._answer(process)
            self.facts = facts if kind == "ours" else self.facts
        return self.processes[kind]

    def _answer(self, process: subprocess.Popen) -> dict:
        for line in process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise UserError(answer["error"])
                return answer
        raise UserError(f"a benchmark process ended with status {process.wait()}; its messages are above")


def spread(values: list[float]) -> dict:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
