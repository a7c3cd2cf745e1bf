"""What was run: the facts of a run's folder."""

import dataclasses
import os

from ssl_keras import files, run_folder
from ssl_keras.config import Config, settings
from ssl_keras.progress import clock
from ssl_keras.report.scores import Scores
from ssl_keras.settings import GROUPS
from ssl_keras.words import counted

BAD_SHOWN = 10


def facts(scores: Scores) -> list[tuple[str, str]]:
    """Names and values for a reader."""
    config = scores.config
    summary = files.read_json(os.path.join(config.workdir, "summary.json"))
    encoder = scores.data.images_for("run").encoder.contract
    train, test = scores.data.train, scores.data.test
    seconds = summary["seconds"]
    speed = summary["images_per_second"]
    pixels = f"{encoder.size} x {encoder.size} pixels"
    steps = f"{summary['steps']:,} steps of {config.batch_size} images"
    found = [
        ("method", config.method),
        ("pretrained on", f"{summary['data']}, {counted(summary['examples'], 'image')}"),
        ("scored on", f"{config.data}: {len(train):,} training images, {len(test):,} test images ({scores.data.note})"),
        ("files that could not be read", _bad(config.workdir)),
        ("encoder", f"{config.backbone}, {summary['parameters']:,} parameters, {encoder.dimension} features"),
        ("images", f"{pixels}, {counted(encoder.channels, 'channel')}, {encoder.dtype}"),
        ("training", f"{counted(summary['epochs'], 'epoch')}, {steps}"),
        ("seed", str(config.seed)),
        ("time", f"{clock(seconds)} ({seconds:.0f} s)" + (f", {speed:.0f} images per second" if speed else "")),
        ("memory", f"{summary['peak_memory_bytes'] / 2**30:.1f} GiB at most"),
        ("machine", _machine(summary)),
    ]
    return [(name, value) for name, value in found if value]


def flag_groups(config: Config) -> list[tuple[str, list[tuple[str, str]]]]:
    """All flags of the run in their groups, as (title, [(flag, value)])."""
    groups: dict[str, list] = {}
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        if value is None or value == ():
            continue
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        groups.setdefault(settings()[field.name].group, []).append((f"--{field.name}", text))
    return [(GROUPS[group], values) for group, values in groups.items()]


def bad_files(workdir: str) -> list[str]:
    """The first lines of `bad_files.txt`."""
    return [line.replace("\t", ": ") for line in _bad_lines(workdir)[:BAD_SHOWN]]


def _bad_lines(workdir: str) -> list[str]:
    path = os.path.join(workdir, run_folder.BAD_FILES)
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def _bad(workdir: str) -> str:
    lines = _bad_lines(workdir)
    return f"{len(lines):,}, named in {run_folder.BAD_FILES}" if lines else "none"


def _machine(summary: dict) -> str:
    """The machine, and the core hours that training took of it; "" where an earlier version did not write it."""
    machine = summary.get("machine")
    if not machine:
        return ""
    devices = f", {', '.join(machine['accelerators'])}" if machine["accelerators"] else ""
    hours = summary["seconds"] / 3600 * (len(machine["accelerators"]) or machine["cores"])
    unit = "device hours" if machine["accelerators"] else "core hours"
    return f"{machine['processor']}, {counted(machine['cores'], 'core')}{devices}: {hours:.2f} {unit}"
