"""Every method learns: a short run on the built-in scenes beats the untrained encoder and does not collapse.

A run takes the method's flagfile for CIFAR-10, or else its paper's. The method's own test file may name what a run on
the scenes needs besides in `SCENES`, a list of flags, and the evaluation that its paper judges it by in `JUDGED_BY`
(kNN unless it says otherwise).
"""

import importlib
import json
import os

import pytest

from ssl_keras import methods
from tests.runs import metrics, run_tool

COMMON = [
    "--data=builtin:scenes:4000",
    "--backbone=resnet8",
    "--width=0.5",
    "--image_size=32",
    "--batch_size=128",
    "--epochs=10",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.names())
def test_a_short_run_beats_the_untrained_encoder(name, tmp_path):
    own = importlib.import_module(f"tests.methods.test_{name}")
    judge = getattr(own, "JUDGED_BY", "knn")
    workdir = tmp_path / "run"
    recipe = next(path for path in (f"flags/cifar10/{name}.flags", f"flags/{name}.flags") if os.path.exists(path))
    flags = [f"--flagfile={recipe}", *COMMON, *getattr(own, "SCENES", [])]
    run_tool("pretrain", *flags, f"--workdir={workdir}", timeout=3600)
    rows = tmp_path / "rows.json"
    asked = ["--encoder=run,random", f"--eval={judge}", f"--output={rows}"]
    run_tool("evaluate", f"--workdir={workdir}", *asked, timeout=3600)
    score = {row["encoder"]: row["top1"] for row in json.loads(rows.read_text())}
    last = metrics(workdir)[-1]
    print(name, score, {key: last.get(key) for key in ("loss", "z_std", "effective_rank")})
    assert score["run"] > score["random"] + 0.01
    assert last["effective_rank"] > 4, last
