"""Images per second, beside plain Keras and lightly; peak memory; seconds to a good encoder, and to its scores:

python -m tools.benchmark --suite=train,input --flagfile=flags/cifar10/simclr.flags
python -m tools.benchmark --suite=memory --backbone=resnet8
python -m tools.benchmark --suite=time_to_accuracy --recipes=flags/scenes/simclr.flags --seeds=0,1,2 --threshold=0.3 \\
    --workdir=runs/times
python -m tools.benchmark --suite=lightly --flagfile=flags/cifar10/simclr.flags --backbone=resnet8 \\
    --lightly_python=PATH
"""

import os
import sys
import tempfile

from absl import flags

from ssl_keras import cli
from ssl_keras.errors import UserError

SUITES = ("train", "input", "views", "memory", "evaluation", "time_to_accuracy", "lightly")

cli.define()
flags.DEFINE_list("suite", ["train", "input"], f"what to measure: {', '.join(SUITES)}")
cli.define_path("json", "", "also write the rows to this file")
flags.DEFINE_integer("rounds", 5, "how often each part is measured, in turn", lower_bound=1)
flags.DEFINE_float("seconds", 4.0, "that each measurement takes, about", lower_bound=0.1)
flags.DEFINE_list("policies", ["simclr", "simclr_cifar", "moco_v2", "byol", "swav"], "recipes of --suite=views")
flags.DEFINE_list("sizes", ["32", "96", "224"], "sides of the views of --suite=views, of 32, 96 and 224 pixels")

flags.DEFINE_list("recipes", [], "flagfiles of --suite=time_to_accuracy; flags given here outdo theirs")
flags.DEFINE_list("seeds", ["0"], "seeds of --suite=time_to_accuracy")
flags.DEFINE_float(
    "threshold",
    None,
    "kNN on held-out training images at which time_to_accuracy stops the clock, such as 0.45; unset: what lightly "
    "reaches from the same seed",
)
flags.DEFINE_integer("test_examples", None, "let time_to_accuracy score only so many test images; unset: all")
cli.define_path("lightly_python", "", "a Python that has lightly and PyTorch, to compare with; unset: this one")


def main():
    args, settings = flags.FLAGS, cli.from_flags()
    for suite in args.suite:
        if suite not in SUITES:
            raise UserError(f"unknown suite {suite!r}; known: {', '.join(SUITES)}")
    for size in args.sizes:
        if size not in ("32", "96", "224"):
            raise UserError(f"--sizes={size}: expected 32, 96 or 224")
    seeds = _seeds(args) if "time_to_accuracy" in args.suite else []
    from ssl_keras import files
    from ssl_keras.benchmarks import memory as benchmark_memory
    from ssl_keras.benchmarks import training as benchmark
    from ssl_keras.benchmarks import views as benchmark_views

    if args.json:
        files.refuse_foreign(args.json, files.holds_rows)
    rows = []
    timed = [suite for suite in args.suite if suite in benchmark.PARTS]
    if timed:
        rows += benchmark.run(timed, settings, args.rounds, args.seconds)
        print(benchmark.table(rows))
    if "views" in args.suite:
        views = benchmark_views.run_views_suite(
            tuple(args.policies), tuple(map(int, args.sizes)), args.rounds, args.seconds
        )
        print(benchmark_views.table(views))
        rows += [{"suite": "views", **row} for row in views]
    if "memory" in args.suite:
        points = benchmark_memory.run(settings)
        print(benchmark_memory.table(points))
        rows += points
    if "evaluation" in args.suite:
        from ssl_keras.benchmarks import evaluation

        solvers = evaluation.run(args.rounds)
        print(evaluation.table(solvers))
        rows += solvers
    if "lightly" in args.suite:
        rows += _beside_lightly(args, settings)
    if "time_to_accuracy" in args.suite:
        rows += _times(args, settings, seeds)
    if args.json:
        files.write_json(args.json, rows, files.holds_rows)
        print(f"written: {args.json}")


def _beside_lightly(args, settings) -> list[dict]:
    """A row with the speeds of ours and of lightly's loop; with the reason where lightly is not there."""
    from ssl_keras.benchmarks import beside_lightly

    python = args.lightly_python or sys.executable
    if reason := beside_lightly.missing(python):
        print(f"lightly: left out, {python} cannot run it ({reason}): name a Python that can by --lightly_python")
        return [{"suite": "lightly", "left_out": reason}]
    with tempfile.TemporaryDirectory() as folder:
        row = beside_lightly.run(settings, python, folder, args.rounds, args.seconds)
    print(beside_lightly.table(row))
    return [row]


def _times(args, settings, seeds: list[int]) -> list[dict]:
    """Rows of the recipes; and of lightly, where its accuracies are the thresholds."""
    from ssl_keras.benchmarks import beside_lightly, time_to_accuracy

    test, rows = {"test_examples": args.test_examples}, []
    thresholds = dict.fromkeys(seeds, args.threshold)
    if args.threshold is None:
        python = args.lightly_python or sys.executable
        if reason := beside_lightly.missing(python):
            raise UserError(
                f"without --threshold, lightly sets it, and {python} cannot run it ({reason}): give --threshold, such "
                "as 0.45, or name a Python that can by --lightly_python"
            )
        with tempfile.TemporaryDirectory() as folder:
            images = beside_lightly.Images(settings, folder)
            runs = [beside_lightly.timed(python, images, seed, folder, test) for seed in seeds]
        print(beside_lightly.told(runs))
        rows.append({"suite": "time_to_accuracy", "recipe": "lightly", "runs": runs})
        thresholds = {run["seed"]: run["knn_top1"] for run in runs}
    times = time_to_accuracy.run(args.recipes, thresholds, _given(), args.workdir, test)
    print(time_to_accuracy.table(times))
    return rows + times


def _seeds(args) -> list[int]:
    """The seeds, once all that the suite needs is there."""
    if not (args.recipes and args.workdir):
        raise UserError("--suite=time_to_accuracy needs --recipes and --workdir, a folder for its runs")
    for recipe in args.recipes:
        if not os.path.isfile(recipe):
            raise UserError(f"--recipes: there is no flagfile {recipe!r}")
    if args.threshold is not None and not 0 < args.threshold < 1:
        raise UserError(f"--threshold={args.threshold:g} is an accuracy: it must lie between 0 and 1, such as 0.45")
    if not all(seed.isdecimal() for seed in args.seeds):
        raise UserError(f"--seeds={','.join(args.seeds)} must be whole numbers, separated by commas")
    return [int(seed) for seed in args.seeds]


def _given() -> list[str]:
    """The settings of this command line as flags of a run."""
    lines = []
    for name, value in cli.given().items():
        if name not in ("workdir", "seed"):
            lines += [f"--{name}={item}" for item in (value if isinstance(value, list) else [value])]
    return lines


if __name__ == "__main__":
    cli.run(main)
