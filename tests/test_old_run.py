"""A run's folder that an earlier version wrote (0.1.0, before the package was divided into rooms) is still a run."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from ssl_keras.build.encoder import shipped
from ssl_keras.config import read_run
from ssl_keras.evals import run
from tests.runs import losses, run_tool

OLD = pathlib.Path(__file__).parent / "old_run"  # MoCo, two epochs
THIRD_LOSS = 4.46631  # of the epoch with which that version went on


@pytest.fixture
def workdir(tmp_path):
    return shutil.copytree(OLD, tmp_path / "run")


def test_it_goes_on_as_it_would_have(workdir):
    done = run_tool("pretrain", f"--flagfile={workdir}/flags.txt", "--epochs=3", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert "after step 8" in done.stdout
    assert losses(workdir)[:2] == losses(OLD) and losses(workdir)[2] == pytest.approx(THIRD_LOSS, rel=1e-3)


def test_its_encoder_is_evaluated_and_shipped(workdir):
    encoder = shipped(str(workdir))
    contract = encoder.contract
    assert (contract.dtype, contract.size, contract.canvas_size, contract.channels) == ("uint8", 16, 16, 3)
    assert contract.stages == ("stage1", "stage2", "stage3") and contract.ranges == ((0.0, 255.0),) * 3
    assert encoder(np.zeros((1, 16, 16, 3), np.float32)).shape == (1, contract.dimension)
    (row,) = run.evaluate(run.request_from({"workdir": str(workdir)}, "run", "knn", 16, options={"knn": {"k": (5,)}}))
    assert row == json.loads((workdir / "evals" / "knn.json").read_text()) and 0 <= row["top1"] <= 1


def test_its_settings_are_known():
    old, new = ((OLD / "flags.txt").read_text().splitlines(), read_run(str(OLD)).flag_lines().splitlines())
    assert [line for line in new if line in old] == old
    since = {"--resolution_schedule=", "--stop_on_collapse=False", "--probe_every=1"}  # later ones, at their defaults
    since |= {"--slices=axial", "--max_image_bytes=1073741824", "--fill=0", "--positives=self"}
    since |= {"--channels_from=", "--tile=", "--tile_spread=0.05"}
    before = {"--normalize=none", "--invalid=none"}  # not at theirs: its pixels were what their type can hold
    assert set(new) - set(old) == since | before
