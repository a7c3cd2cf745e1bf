"""Packs a data set into shards, from which runs start and read quickly:

python -m tools.make_shards --data=folder:PATH --output=DIR
python -m tools.pretrain --data=shards:DIR --flagfile=flags/simclr.flags --workdir=runs/a
"""

from absl import flags

from ssl_keras import cli
from ssl_keras.config import settings
from ssl_keras.errors import UserError
from ssl_keras.words import counted

OF_RUNS = ("train_examples", "data_service", "fill", "group_by", "positives")  # of the settings of the data

cli.define([name for name, known in settings().items() if known.group == "data" and name not in OF_RUNS])
cli.define_path("output", "", "the folder to write to; the same command goes on where it was stopped")
flags.DEFINE_integer(
    "images_per_shard", None, "images in a file; unset: so many that they are 64 MiB before compression", lower_bound=1
)


def main():
    config, args = cli.from_flags(), flags.FLAGS
    if not args.output:
        raise UserError("--output is missing: name the folder for the shards")
    from ssl_keras.packing.pack import pack

    manifest = pack(config, args.output, args.images_per_shard)
    for split, about in manifest["splits"].items():
        size = sum(shard["bytes"] for shard in about["shards"])
        unreadable = f", {about['unreadable']} of them unreadable (bad_files.txt)" if about["unreadable"] else ""
        shards = counted(len(about["shards"]), "shard")
        print(f"{split}: {counted(about['images'], 'image')}{unreadable}, {shards}, {size / 2**20:.1f} MiB")
    print(f"next: python -m tools.pretrain --data=shards:{args.output} --workdir=runs/a")


if __name__ == "__main__":
    cli.run(main)
