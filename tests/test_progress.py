"""Bars that a person sees while images are read and features are computed."""

import sys

import numpy as np
import pytest

from ssl_keras import progress
from ssl_keras.data.canvases.memory import CanvasSpec, load_canvases
from ssl_keras.data.sources import open_source
from ssl_keras.evals import features


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to go on."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("live", [True, False])
def test_a_bar_says_how_much_is_done_and_how_long_the_rest_takes(monkeypatch, capsys, clock, live):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: live, raising=False)
    with progress.Bar("reading images", 1000) as bar:
        bar.show(10)
        assert capsys.readouterr().out == ""  # quick work shows nothing
        clock[0] += 100.0
        bar.show(250)
        shown = capsys.readouterr().out
        assert f"reading images [{'=' * 6:<24}] 250/1000  2 images/s  0:05:00 left" in shown
        clock[0] += 0.1
        bar.show(260)
        assert capsys.readouterr().out == ""
    assert capsys.readouterr().out == (progress.CLEAR if live else "")
    assert shown.startswith(progress.CLEAR) == live and shown.endswith("\n") != live


def test_hours_are_hours():
    assert progress.clock(3 * 3600 + 62.9) == "3:01:02"


def test_reading_and_computing_show_how_far_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "REPORTED", 0.0)
    np.save(tmp_path / "a.npy", np.zeros((40, 8, 8, 3), np.uint8))
    canvases = load_canvases(open_source(f"npy:{tmp_path}/a.npy"), CanvasSpec(8))
    features.extract(features.embedder(features.encode_pixels, 8), canvases, batch_size=32)
    shown = capsys.readouterr().out
    assert "reading images" in shown and "computing features" in shown and "40/40" in shown
