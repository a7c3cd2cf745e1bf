"""Seconds, images and counted operations until an encoder is good enough, by recipe and seed.

Each run is a process of `tools.pretrain`, from its start, so that imports, compilation and the scores themselves count
as they do for a user. After each epoch kNN is scored on training images whose labels are held out; test images are
scored once, with the encoder of the last epoch.
"""

import json
import os
import statistics
import subprocess
import sys
import time

from ssl_keras import files
from ssl_keras.errors import UserError

SCORE = "knn_top1"


def run(recipes: list[str], thresholds: dict[int, float], given: list[str], folder: str, test: dict) -> list[dict]:
    """Trains every recipe from every seed, in turn.

    Args:
        recipes: flagfiles.
        thresholds: seed -> kNN's accuracy on held-out training images, in (0, 1).
        given: further flags of each run, which outdo the flagfile's.
        folder: in which each run gets a folder of its own.
        test: what is given to the evaluation besides, such as {"test_examples": 2000}.

    Returns:
        A row for each recipe: {"suite", "recipe", "runs": [{"seed", "threshold", "seconds", "images", "pflop",
        "total_seconds", "total_pflop", "epochs": [{"seconds", "knn_top1"}, ...], "test": {"knn", "linear"}}, ...]};
        "seconds", "images" and "pflop" of a run are None where the threshold was not reached.

    Raises:
        UserError: a folder that has such runs already, or a run that fails.
    """
    names = [_name(recipe) for recipe in recipes]
    for name in names:
        for seed in thresholds:
            if os.path.exists(os.path.join(folder, f"{name}_{seed}")):
                raise UserError(f"{folder} has a run {name}_{seed}, whose time is past: give another --workdir")
    rows = [{"suite": "time_to_accuracy", "recipe": recipe, "runs": []} for recipe in recipes]
    for seed, threshold in thresholds.items():  # recipes in turn: the machine may drift
        for row, name in zip(rows, names):
            workdir = os.path.join(folder, f"{name}_{seed}")
            timed = _timed(row["recipe"], seed, threshold, given, workdir, test)
            row["runs"].append({"seed": seed, "threshold": threshold, **timed})
            print(_told(name, row["runs"][-1]), flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """The rows as text: medians over the seeds, smallest and largest."""
    lines = ["time_to_accuracy: until kNN on held-out training images reaches a threshold"]
    for row in rows:
        seeds = ", ".join(f"{run['seed']} ({100 * run['threshold']:.1f} %)" for run in row["runs"])
        lines.append(f"  {row['recipe']}, seeds (thresholds) {seeds}")
        reached = [run for run in row["runs"] if run["seconds"] is not None]
        if len(reached) < len(row["runs"]):
            lines.append(f"    reached by {len(reached)} of {len(row['runs'])} runs")
        for name, unit in (("seconds", "s"), ("images", "images"), ("pflop", "PFLOP")):
            if reached:
                lines.append(f"    until then   {_spread([run[name] for run in reached], unit)}")
        lines.append(f"    whole run    {_spread([run['total_seconds'] for run in row['runs']], 's')}")
        lines.append(f"    whole run    {_spread([run['total_pflop'] for run in row['runs']], 'PFLOP')}")
        for name in row["runs"][0]["test"]:
            scores = [100 * run["test"][name] for run in row["runs"]]
            mean = statistics.mean(scores)
            lines.append(f"    test {name:<8}{mean:>10.1f} %   ({min(scores):.1f} .. {max(scores):.1f}), mean")
    return "\n".join(lines)


def _name(recipe: str) -> str:
    """What a flagfile's runs are called: scenes_fast for flags/scenes/fast.flags."""
    path = os.path.splitext(os.path.relpath(recipe, "flags"))[0]
    if path.startswith(os.pardir):
        path = os.path.splitext(os.path.abspath(recipe))[0].strip(os.sep)
    return path.replace(os.sep, "_")


def _timed(recipe, seed, threshold, given, workdir, test) -> dict:
    flags = [f"--flagfile={recipe}", *given, f"--seed={seed}", f"--workdir={workdir}", "--knn_every=1"]
    log = os.path.join(workdir, "metrics.jsonl")
    start, epochs = time.perf_counter(), []
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.pretrain", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        time.sleep(0.05)
        lines = _lines(log)
        epochs += [{"seconds": time.perf_counter() - start, SCORE: line[SCORE]} for line in lines[len(epochs) :]]
    total = time.perf_counter() - start
    if process.returncode:
        raise UserError(f"{recipe}, seed {seed}: {process.stderr.read().strip()}")
    lines = _lines(log)
    epochs += [{"seconds": total, SCORE: line[SCORE]} for line in lines[len(epochs) :]]
    counted = _ask("import ssl_keras.benchmarks.parts as p; p.work_of_epochs()", {"workdir": workdir})
    spent = [flop * counted["examples"] / 1e15 for flop in counted["flop_per_image"]]
    at = next((k for k, epoch in enumerate(epochs) if epoch[SCORE] >= threshold), None)
    return {
        "seconds": None if at is None else epochs[at]["seconds"],
        "images": None if at is None else (at + 1) * counted["examples"],
        "pflop": None if at is None else sum(spent[: at + 1]),
        "total_seconds": total,
        "total_pflop": sum(spent),
        "epochs": epochs,
        "test": _scores(workdir, test),
    }


def _lines(path: str) -> list[dict]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def _scores(workdir: str, test: dict) -> dict[str, float]:
    """Accuracies on test images by kNN and a linear probe."""
    path = os.path.join(workdir, "test.json")
    flags = [f"--{name}={value}" for name, value in test.items() if value is not None]
    command = ["tools.evaluate", f"--workdir={workdir}", "--eval=knn,linear", f"--output={path}", *flags]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{workdir}: {done.stderr.strip()}")
    return {row["eval"]: row["top1"] for row in files.read_json(path)}


def _ask(program: str, question: dict) -> dict:
    done = subprocess.run([sys.executable, "-c", program], input=json.dumps(question), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _told(name: str, run: dict) -> str:
    when = "not reached" if run["seconds"] is None else f"after {run['seconds']:.1f} s, {run['pflop']:.3g} PFLOP"
    return f"{name}, seed {run['seed']}: {when}; last {SCORE} {100 * run['epochs'][-1][SCORE]:.1f} %"


def _spread(values: list[float], unit: str) -> str:
    digits = ".3g" if unit == "PFLOP" else ",.0f"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:>10{digits}} {unit}   ({low:{digits}} .. {high:{digits}})"
