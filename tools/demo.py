"""The whole way on built-in images, in minutes on a CPU: pretrain, train with labels, compare, report, export.

python -m tools.demo --workdir=runs/demo
"""

import os

from absl import flags

from ssl_keras import cli
from ssl_keras.config import Config

cli.define_path("workdir", "runs/demo", "folder for the runs and what they leave")

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main():
    workdir = flags.FLAGS.workdir
    recipes = {"simclr": "fast", "supervised": "supervised"}
    runs = {name: _settings(recipe, os.path.join(workdir, name)) for name, recipe in recipes.items()}
    from ssl_keras import experiment, preview
    from ssl_keras.build.encoder import shipped
    from ssl_keras.evals import table
    from ssl_keras.export import saved_model as saved_model_format
    from ssl_keras.report import write

    preview.preview_views(runs["simclr"], os.path.join(workdir, "views.png"), images=8, draws=2)
    for name, settings in runs.items():
        print(f"\n{name} on {settings.data}: {settings.workdir}", flush=True)
        experiment.pretrain(settings)

    print("\nthe report, with scores on held-out scenes", flush=True)
    request = write.Request({"workdir": runs["simclr"].workdir}, (runs["supervised"].workdir,))
    report, scores = write.write(request)
    rows = [row for row in scores.rows if row["eval"] in ("knn", "linear")]
    print(table.table([{**row, "encoder": scores.title(row)} for row in rows]))

    saved_model = os.path.join(workdir, "saved_model")
    saved_model_format.write(shipped(runs["simclr"].workdir), saved_model, saved_model_format.Options())
    print(
        f"\nreport:      {report}\nviews:       {workdir}/views.png\nTensorBoard: tensorboard --logdir {workdir}\n"
        f"SavedModel:  {saved_model}\nencoder:     {runs['simclr'].workdir}/encoder.keras"
    )


def _settings(recipe: str, workdir: str) -> Config:
    """The settings of flags/scenes/RECIPE.flags."""
    with open(os.path.join(ROOT, "flags", "scenes", f"{recipe}.flags"), encoding="utf-8") as file:
        lines = [line for line in file if line.startswith("--")]
    return Config.from_flag_lines("".join([*lines, f"--workdir={workdir}\n"]))


if __name__ == "__main__":
    cli.run(main)
