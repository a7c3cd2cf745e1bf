"""Draws what training sees:

python -m tools.preview_views --flagfile=flags/simclr.flags --data=folder:PATH --output=views.png
"""

from absl import flags

from ssl_keras import cli

cli.define()
cli.define_path("output", "views.png", "the PNG to write: originals on the left, views on the right")
flags.DEFINE_integer("images", 8, "how many images, one to a row", lower_bound=1)
flags.DEFINE_integer("draws", 3, "how many draws of each view", lower_bound=1)


def main():
    settings = cli.from_flags()
    from ssl_keras import preview

    preview.preview_views(settings, flags.FLAGS.output, flags.FLAGS.images, flags.FLAGS.draws)
    print(f"written: {flags.FLAGS.output}")


if __name__ == "__main__":
    cli.run(main)
