"""Looks at a data set before training: what is in it, what is wrong with it, and which flags suit it.

python -m tools.inspect_data --data=folder:PATH --output=inspection
"""

from absl import flags

from ssl_keras import cli

cli.define(
    [
        "data",
        "data_dir",
        "channels",
        "invalid",
        "pages",
        "slices",
        "channels_from",
        "tile",
        "tile_spread",
        "max_image_bytes",
        "max_megapixels",
    ]
)
cli.define_path("output", "inspection", "folder for inspection.json, contact_sheet.png and inspection.html")
cli.define_path("flags", "", "the suggested flagfile; unset: suggested.flags in the output folder")
flags.DEFINE_integer("images", None, "look at so many images at most; unset: at all that 40 s allow", lower_bound=1)


def main():
    settings = cli.from_flags()
    from ssl_keras.inspection import words, write

    args = flags.FLAGS
    found, paths = write.inspect(write.Request(settings, cli.given(), args.output, args.flags, args.images))
    print("\n".join([found["looked"], *words.summary(found), *found["remarks"]]))
    print(f"written: {', '.join(paths)}")
    print(f"next: python -m tools.pretrain --flagfile={paths[-1]} --workdir=runs/a")


if __name__ == "__main__":
    cli.run(main)
