"""Writes the report of a run, one HTML file: was it worth it, and what does the encoder see?

python -m tools.report --workdir=runs/a --against=runs/supervised
"""

from absl import flags

from ssl_keras import cli

cli.define(["workdir", "data", "data_dir", "train_examples", "group_by", "max_bad_fraction", "max_megapixels"])
flags.DEFINE_list(
    "against",
    [],
    "folders of other runs, encoder files and keras_applications:NAME[@SIZE] to compare with, separated by commas; a "
    "run of --method=supervised answers whether labels alone would have done, runs with other seeds give the spread",
)
flags.DEFINE_multi_string("weights", [], "as for tools.evaluate")
cli.define_path("feature_cache", None, "as for tools.evaluate")
cli.define_path("output", "", "the HTML file; unset: report.html in the run's folder")
flags.DEFINE_integer("thumbnails", 2000, "images in the report at most, up to 5000")
flags.DEFINE_integer("test_examples", None, "score only the first so many test images; unset: all")
flags.DEFINE_enum("eval_crop", "center", ["center", "squash"], "as for tools.evaluate")


def main():
    args = flags.FLAGS
    cli.from_flags()  # checked
    from ssl_keras.report import write

    request = write.Request(
        cli.given(),
        tuple(name for name in args.against if name),
        args.output,
        args.thumbnails,
        args.test_examples,
        args.eval_crop,
        tuple(args.weights),
        args.feature_cache,
    )
    path, _ = write.write(request)
    print(f"written: {path}")


if __name__ == "__main__":
    cli.run(main)
