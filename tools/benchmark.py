"""Images per second, beside plain Keras; peak memory by batch size:

python -m tools.benchmark --suite=train,input --flagfile=flags/cifar10/simclr.flags
python -m tools.benchmark --suite=memory --backbone=resnet8
"""

from absl import flags

from ssl_keras import cli
from ssl_keras.errors import UserError

SUITES = ("train", "input", "views", "memory")

cli.define()
flags.DEFINE_list("suite", ["train", "input"], f"what to measure: {', '.join(SUITES)}")
cli.define_path("json", "", "also write the rows to this file")
flags.DEFINE_integer("rounds", 5, "how often each part is measured, in turn", lower_bound=1)
flags.DEFINE_float("seconds", 4.0, "that each measurement takes, about", lower_bound=0.1)
flags.DEFINE_list("policies", ["simclr", "simclr_cifar", "moco_v2", "byol", "swav"], "recipes of --suite=views")
flags.DEFINE_list("sizes", ["32", "96", "224"], "sides of the views of --suite=views, of 32, 96 and 224 pixels")


def main():
    args, settings = flags.FLAGS, cli.from_flags()
    for suite in args.suite:
        if suite not in SUITES:
            raise UserError(f"unknown suite {suite!r}; known: {', '.join(SUITES)}")
    for size in args.sizes:
        if size not in ("32", "96", "224"):
            raise UserError(f"--sizes={size}: expected 32, 96 or 224")
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
    if args.json:
        files.write_json(args.json, rows, files.holds_rows)
        print(f"written: {args.json}")


if __name__ == "__main__":
    cli.run(main)
