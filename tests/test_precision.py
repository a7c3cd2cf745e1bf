"""`--precision=auto`: found from the machine, kept by the run."""

import dataclasses

import pytest

from ssl_keras import distribute, machine
from ssl_keras.build.precision import with_precision
from ssl_keras.config import Config, read_run
from ssl_keras.encoders import file
from tests.runs import TINY, metrics, run_tool

AUTO = [flag for flag in TINY if not flag.startswith("--precision")]


@pytest.mark.parametrize("fast, found", [(True, "mixed_bfloat16"), (False, "float32")])
def test_a_new_run_takes_what_is_faster(fast, found, monkeypatch, capsys):
    monkeypatch.setattr(distribute, "multiplies_bfloat16", lambda strategy: fast)
    assert with_precision(Config()).precision == found
    assert ("bfloat16" in capsys.readouterr().out) == fast
    assert with_precision(Config(precision="mixed_float16")).precision == "mixed_float16"


@pytest.mark.parametrize(
    "text, fast",
    [
        ("flags\t\t: fpu sse avx512_bf16 avx512f\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("flags\t\t: fpu avx512f\nmodel name\t: avx512_bf16\n", False),
    ],
)
def test_a_processor_tells_its_instructions(text, fast, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "CPUINFO", str(tmp_path / "cpuinfo"))
    assert machine.multiplies_bfloat16() == fast
    monkeypatch.setattr(machine, "CPUINFO", str(tmp_path / "absent"))
    assert not machine.multiplies_bfloat16()


def test_a_run_keeps_its_precision_wherever_it_goes_on(tmp_path):
    """Begun in one precision it goes on in it, whatever this machine would take for a new run."""
    other = "float32" if machine.multiplies_bfloat16() else "mixed_bfloat16"
    run_tool("pretrain", *AUTO, f"--precision={other}", "--epochs=1", f"--workdir={tmp_path}")
    run_tool("pretrain", *AUTO, "--epochs=2", f"--workdir={tmp_path}")
    assert read_run(str(tmp_path)).precision == other
    assert [line["epoch"] for line in metrics(tmp_path)] == [1, 2]
    (another,) = {"float32", "mixed_bfloat16"} - {other}
    refused = run_tool("pretrain", *AUTO, f"--precision={another}", "--epochs=2", f"--workdir={tmp_path}", status=1)
    assert "--precision" in refused.stderr


def test_the_shipped_encoder_is_float32_and_as_good(tmp_path):
    for precision in ("mixed_bfloat16", "float32"):
        settings = [f"--precision={precision}", "--epochs=1", "--learning_rate=0.001"]  # rounding grows with the rate
        run_tool("pretrain", *AUTO, *settings, f"--workdir={tmp_path}/{precision}")
    model = file.load_encoder(f"{tmp_path}/mixed_bfloat16/encoder.keras").model
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    assert {v.dtype for v in model.weights} == {"float32"}
    ours, expected = (metrics(tmp_path / name)[0]["loss"] for name in ("mixed_bfloat16", "float32"))
    assert ours == pytest.approx(expected, rel=0.02)


def test_what_is_left_open_is_no_difference():
    assert Config().differences(Config(precision="mixed_bfloat16")) == []
    assert dataclasses.replace(Config(), precision="float32").differences(Config(precision="mixed_bfloat16"))
