"""Ships an encoder: python -m tools.export --workdir=runs/a --format=saved_model --output=encoder_saved_model"""

from absl import flags

from ssl_keras import cli
from ssl_keras.config import read_run
from ssl_keras.errors import UserError

cli.define_path("workdir", "", "the folder of a finished run")
flags.DEFINE_enum("format", "saved_model", ("saved_model", "keras"), "what to write")
flags.DEFINE_string(
    "eval_layer", "representation", "where to cut the encoder: stage1, ... of a ResNet, block1, ... of a ViT"
)
cli.define_path("output", "", "path to write to; an earlier export there is replaced, anything else is not")


def main():
    args = flags.FLAGS
    for name in ("workdir", "output"):
        if not args[name].value:
            raise UserError(f"--{name} is missing")
    run = read_run(args.workdir)
    from ssl_keras import export, run_folder
    from ssl_keras.encoders import stages

    run_folder.refuse_own(args.workdir, args.output)
    export.check_output(args.output, args.format)
    encoder = stages.cut(export.load_encoder(f"{args.workdir}/encoder.keras"), args.eval_layer)
    if args.format == "keras":
        export.save_keras(encoder, args.output)
    else:
        export.save_saved_model(encoder, run.canvas_size, args.output)
    print(f"written: {args.output}")


if __name__ == "__main__":
    cli.run(main)
