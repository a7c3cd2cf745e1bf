"""A user's Keras settings for other programs neither end a run nor change it."""

import json
import subprocess
import sys

import pytest

from tests.runs import TINY, losses, run_tool

ODD = {"backend": "jax", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 1e-3}


def test_a_run_and_its_export_are_the_same_under_other_keras_settings(finished, tmp_path, monkeypatch):
    (tmp_path / "keras.json").write_text(json.dumps(ODD))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    run_tool("pretrain", *TINY, f"--workdir={tmp_path}/run", "--epochs=5", "--knn_every=2")
    # In a process of its own, which optimizes graphs: the rounding that differs has grown after that.
    assert losses(tmp_path / "run")[:3] == pytest.approx(losses(finished)[:3], rel=1e-5)
    run_tool("export", f"--workdir={tmp_path}/run", f"--output={tmp_path}/sm")


def test_windows_is_told_where_the_program_runs():
    code = "import sys; sys.platform = 'win32'; import ssl_keras"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "WSL 2" in done.stderr


def test_a_program_that_has_loaded_another_backend_is_told_so():
    other = "types.SimpleNamespace(config=types.SimpleNamespace(backend=lambda: 'torch'))"
    code = f"import sys, types; sys.modules['keras'] = {other}; import ssl_keras"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "import ssl_keras first" in done.stderr
