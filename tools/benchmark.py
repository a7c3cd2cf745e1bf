"""Images per second, beside plain Keras:

    python -m tools.benchmark --suite=train,input --flagfile=flags/cifar10/simclr.flags
"""

from absl import flags

from ssl_keras import config

SUITES = ("train", "input")

config.define()
flags.DEFINE_list("suite", list(SUITES), f"what to measure: {', '.join(SUITES)}")
flags.DEFINE_string("json", "", "also write the rows to this file")
flags.DEFINE_integer("rounds", 5, "how often each part is measured, in turn", lower_bound=1)
flags.DEFINE_float("seconds", 4.0, "that each measurement takes, about", lower_bound=0.1)


def main():
    args, settings = flags.FLAGS, config.from_flags()
    for suite in args.suite:
        if suite not in SUITES:
            raise ValueError(f"unknown suite {suite!r}; known: {', '.join(SUITES)}")
    from ssl_keras import benchmark, files

    rows = benchmark.run(args.suite, settings, args.rounds, args.seconds)
    print(benchmark.table(rows))
    if args.json:
        files.write_json(args.json, rows)
        print(f"written: {args.json}")


if __name__ == "__main__":
    config.run(main)
