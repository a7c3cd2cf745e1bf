"""Pretrains an encoder: python -m tools.pretrain --flagfile=flags/simclr.flags --data=folder:PATH --workdir=runs/a"""

from ssl_keras import cli

cli.define()


def main():
    settings = cli.from_flags()
    from ssl_keras import experiment

    if experiment.pretrain(settings):
        print(
            f"encoder: {settings.workdir}/encoder.keras   summary: {settings.workdir}/summary.json   "
            f"tensorboard --logdir {settings.workdir}"
        )


if __name__ == "__main__":
    cli.run(main)
