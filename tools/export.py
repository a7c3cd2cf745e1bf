"""Ships an encoder:

python -m tools.export --workdir=runs/a --format=saved_model --output=encoder_saved_model
python -m tools.export --encoder=encoder.keras --format=saved_model --output=encoder_saved_model
"""

import os

from absl import flags

from ssl_keras import cli, export
from ssl_keras.errors import UserError

cli.define_path("workdir", "", "the folder of a finished run, whose encoder is shipped")
cli.define_path("encoder", "", "or the file of an encoder")
flags.DEFINE_enum("format", "saved_model", export.REGISTRY.names(), "what to write")
flags.DEFINE_string(
    "eval_layer", "representation", "where to cut the encoder: stage1, ... of a ResNet, block1, ... of a ViT"
)
cli.define_path("output", "", "path to write to; an earlier export there is replaced, anything else is not")
cli.define_options("format", export.REGISTRY)


def main():
    args = flags.FLAGS
    if bool(args.workdir) == bool(args.encoder):
        raise UserError("give either --workdir, the folder of a finished run, or --encoder, the file of an encoder")
    if not args.output:
        raise UserError("--output is missing")
    from ssl_keras import run_folder
    from ssl_keras.build.encoder import shipped
    from ssl_keras.encoders import file

    form = export.REGISTRY.load(args.format)
    options = form.Options(**cli.options_from_flags(export.REGISTRY)[args.format])
    if args.workdir:
        run_folder.refuse_own(args.workdir, args.output)
    export.check_output(args.output, args.format)
    encoder = shipped(args.workdir) if args.workdir else file.load_encoder(args.encoder)
    form.write(encoder.cut(args.eval_layer), args.output, options)
    print(f"written: {os.path.normpath(args.output)}")


if __name__ == "__main__":
    cli.run(main)
