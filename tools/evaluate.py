"""Scores encoders on labeled images:

python -m tools.evaluate --workdir=runs/a --eval=knn,linear --encoder=run,random,pixels
"""

from absl import flags

from ssl_keras import cli, evals
from ssl_keras.data import sources
from ssl_keras.errors import UserError

cli.define(
    [
        "workdir",
        "data",
        "data_dir",
        "train_examples",
        "backbone",
        "width",
        "stem",
        "patch",
        "pool",
        "image_size",
        "canvas_size",
        "channels",
        "dtype",
        "normalize",
        "invalid",
        "pages",
        "slices",
        "channels_from",
        "tile",
        "tile_spread",
        "max_image_bytes",
        "seed",
        "group_by",
        "max_bad_fraction",
        "max_megapixels",
    ]
)
flags.DEFINE_string(
    "encoder",
    "run",
    "run | random | pixels | FILE | folder of another run | keras_applications:NAME[@SIZE], or several separated by "
    "commas; of runs that differ in their seed alone the mean and range are shown too",
)
flags.DEFINE_multi_string(
    "weights",
    [],
    "file of weights for an encoder keras_applications:NAME; given once for each of them, in their order",
)
flags.DEFINE_string("eval", "knn,linear", f"evaluations, separated by commas: {', '.join(evals.REGISTRY.names())}")
flags.DEFINE_string(
    "eval_layer",
    "representation",
    "where to cut the encoder: stage1, stage2, ... of a ResNet, block1, ... of a ViT, representation (its own output), "
    "several separated by commas, or all",
)
flags.DEFINE_enum(
    "eval_crop",
    "center",
    ["center", "squash"],
    "how images that are no squares become one: center: the central square, in the image's own proportions | squash: "
    "the whole image, squeezed",
)
flags.DEFINE_multi_string(
    "probe_data",
    [],
    "labeled images to score on, in the place of those that the run was trained on, written as for --data; may be "
    "given several times",
)
cli.define_path(
    "labels", None, "a CSV file with the columns path and label; unset: the labels of the data, such as class folders"
)
flags.DEFINE_integer("test_examples", None, "score only the first so many test images; unset: all")
cli.define_options("eval", evals.REGISTRY)
cli.define_path("feature_cache", None, "a folder in which features are kept, for later calls; unset: none")
cli.define_path("output", None, "also write all rows to this JSON file")


def main():
    args = flags.FLAGS
    cli.from_flags()  # checked
    from ssl_keras.evals import run, table

    request = run.request_from(
        cli.given(),
        args.encoder,
        args.eval,
        args.test_examples,
        args.eval_layer,
        args.output,
        cli.options_from_flags(evals.REGISTRY),
        args.eval_crop,
        args.labels,
        [sources.absolute(data) for data in args.probe_data],
        args.weights,
        args.feature_cache,
    )
    rows = run.evaluate(request)
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        heading = [f"\n{data}"] if len(own) < len(rows) else []
        print("\n".join([*heading, table.table(own), *table.remarks(own)]))
    failures = table.failures(rows)
    if args.workdir and any("error" not in row for row in rows):
        print(f"written to {args.workdir}/evals/")
    if failures:
        raise UserError("; ".join(failures))


if __name__ == "__main__":
    cli.run(main)
