"""Looks at a data set and writes what is in it, from top to bottom."""

import dataclasses
import os
import time
from collections.abc import Callable

import numpy as np

from ssl_keras import files
from ssl_keras.build.data import read_as
from ssl_keras.config import Config
from ssl_keras.data.canvases.probe import probe
from ssl_keras.data.groups.found import names_of
from ssl_keras.data.readers.contract import ReadOptions
from ssl_keras.data.source import Source
from ssl_keras.data.sources import open_source
from ssl_keras.errors import UserError
from ssl_keras.inspection import budget, duplicates, facts, groups, page, sheet, suggest, words
from ssl_keras.inspection.looks import TEST, TRAIN, Look, Looker, Reader
from ssl_keras.inspection.values import values
from ssl_keras.words import shown

TOOL = "ssl_keras inspect_data"
JSON, SHEET, PAGE, FLAGS = "inspection.json", "contact_sheet.png", "inspection.html", "suggested.flags"
SAMPLED, SECONDS = 2000, 40.0  # training images whose numbers are kept; for looking, after which it says how many
# What a user gives, the run needs too.
READING = ("data_dir", "pages", "slices", "channels_from", "tile", "tile_spread", "max_image_bytes", "max_megapixels")
TITLE = f"# Suggested by {TOOL}. Flags after this file win."


@dataclasses.dataclass(frozen=True)
class Request:
    """What `tools.inspect_data` was asked for.

    Args:
        config: what says how the data is read.
        given: fields of `config` that the command line sets.
        output: the folder.
        flags: the flagfile; "": `suggested.flags` in the folder.
        images: look at so many at most; None: all, as far as the time allows.
    """

    config: Config
    given: dict[str, object]
    output: str
    flags: str = ""
    images: int | None = None


def inspect(request: Request) -> tuple[dict, list[str]]:
    """Writes what was found: JSON, a contact sheet, a page and a flagfile.

    Returns:
        What the JSON holds, and the paths.

    Raises:
        UserError: there is no such data, none of it can be read, or something else than ours lies where is to be
            written.
    """
    began, config = time.monotonic(), request.config
    paths = _paths(request)
    read_as(config)
    sources = _sources(config)
    found = probe(sources[TRAIN], config.channels, config.dtype)
    options = ReadOptions(config.pages, config.slices, config.max_image_bytes)
    channels = config.channels or found.stored  # whether they are gray is told of all that are looked at
    readers = [Reader(source, channels, found.dtype, options) for source in sources]
    looker = Looker(readers, SAMPLED, SECONDS)
    looks = sorted(looker.look(request.images), key=lambda look: (look.part, look.index))
    if not any(look.part == TRAIN for look in looks):
        raise UserError(f"{sources[TRAIN].name}: no training image that was looked at can be read")
    facts_found = _facts(config, sources, looks, looker, found.dtype)
    needs = _needs(sources[TRAIN], looks, facts_found)
    given = {name: request.given[name] for name in READING if request.given.get(name) is not None}
    machine = budget.measured()
    flags, plan = suggest.suggest(config.data, needs, machine, given)
    flagfile = suggest.flagfile(f"{TITLE}\n#   python -m tools.pretrain --flagfile={paths['flags']} --workdir=runs/a",
                                [flag._replace(lines=tuple(map(shown, flag.lines))) for flag in flags])  # fmt: skip
    facts_found |= {
        "remarks": words.remarks(facts_found),
        "suggested": [{"flags": flag.lines, "reason": flag.reason} for flag in flags],
        "estimate": {**plan._asdict(), "operations_per_second": machine.operations, "cores": machine.cores},
        "seconds": time.monotonic() - began,
    }
    facts_found["looked"] = words.looked(facts_found)
    _write(paths, facts_found, flagfile, _sheet(readers[TRAIN], looks, facts_found))
    return facts_found, list(paths.values())


def _paths(request: Request) -> dict[str, str]:
    """Where to write, once it is clear that nothing else lies there and that no image's place is taken."""
    kind, _, place = request.config.data.partition(":")
    output = request.output
    inside = os.path.join(os.path.realpath(place), "")
    if kind == "folder" and os.path.join(os.path.realpath(output), "").startswith(inside):
        raise UserError(f"--output={output} lies in the data, where its pictures would become images: name another")
    if os.path.lexists(output) and not os.path.isdir(output):
        raise UserError(f"--output={output} is a file: name a folder")
    names = {"json": JSON, "sheet": SHEET, "page": PAGE, "flags": FLAGS}
    paths = {what: os.path.join(output, name) for what, name in names.items()}
    paths["flags"] = request.flags or paths["flags"]
    for what, path in paths.items():
        files.refuse_foreign(path, OURS[what])
    return paths


def is_json(path: str) -> bool:
    try:
        value = files.read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("tool") == TOOL


def is_flags(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip() == TITLE
    except OSError:
        return False


OURS: dict[str, Callable[[str], bool]] = {
    "json": is_json,
    "sheet": sheet.is_sheet,
    "page": page.is_page,
    "flags": is_flags,
}


def _sources(config: Config) -> list[Source]:
    """The training images, and the data's own test images where it has some."""
    train = open_source(config.data, "train", config.data_dir, config.image_size)
    if not train.has_test_split:
        return [train]
    return [train, open_source(config.data, "test", config.data_dir, config.image_size)]


def _facts(config: Config, sources: list[Source], looks: list[Look], looker: Looker, dtype: str) -> dict:
    """`dtype`: that a run would read encoded images in, the deepest of them."""
    train, labels = sources[TRAIN], [source.labels_if_fine for source in sources]
    names = train.class_names

    def name(look: Look) -> str:
        return short(config.data, sources[look.part].describe(look.index))

    def label(look: Look) -> int:
        return int(labels[look.part][look.index])

    trained = [look for look in looks if look.part == TRAIN]
    in_order = [names[n] if names else str(n) for n in range(max(int(own.max(initial=-1)) for own in labels) + 1)]
    patients = [train.group(look.index) if train.group else None for look in trained]
    paths = names_of(train) if train.root is not None else []
    sizes, formats = facts.sizes(looks), facts.formats(looks)
    return {
        "tool": TOOL,
        "data": config.data,
        "name": train.name,
        "source_remarks": list(train.remarks),
        "training_images": len(train),
        "test_images": len(sources[TEST]) if len(sources) > TEST else 0,
        "looked_at": len(looks) + len(looker.unreadable),
        **formats,
        "sizes": sizes,
        "values": values(trained, dtype if not train.arrays else _only(formats["dtypes"])),
        "unreadable": facts.unreadable([(part, short(config.data, at), why) for part, at, why in looker.unreadable]),
        "constant": facts.constant(looks, name),
        "duplicates": duplicates.duplicates(looks, name, label),
        "classes": facts.classes(labels, names),
        "groups": groups.groups(
            [paths[look.index] for look in trained if paths], patients, [label(look) for look in trained], in_order
        ),
    }


def short(data: str, name: str) -> str:
    """A name below the data's own folder."""
    return name.removeprefix(os.path.join(shown(data.partition(":")[2]), ""))


def _only(dtypes: dict[str, int]) -> str:
    return next(iter(dtypes)) if len(dtypes) == 1 else "mixed"


def _needs(train: Source, looks: list[Look], found: dict) -> suggest.Needs:
    read, bad = sum(look.part == TRAIN for look in looks), found["unreadable"]["in_training"]
    share = bad / (read + bad)
    side = int(np.median([max(look.kind.shape[:2]) for look in looks if look.kind] or [suggest.LARGEST]))
    patients = any(group["group_by"] == "auto" for group in found["groups"])
    return suggest.Needs(round(len(train) * (1 - share)), side, found["values"], share, patients)


def _sheet(reader: Reader, looks: list[Look], found: dict):
    trained = [look.index for look in looks if look.part == TRAIN]
    chosen = np.unique(np.linspace(0, len(trained) - 1, min(sheet.IMAGES, len(trained))).astype(int))
    return sheet.draw([reader.pixels(trained[n])[0] for n in chosen], found["values"])


def _write(paths: dict[str, str], found: dict, flagfile: str, picture) -> None:
    html = page.render(found, words.summary(found), found["remarks"], flagfile, picture)
    with files.space_needed(os.path.dirname(paths["json"]) or "."):
        files.write_json(paths["json"], found, OURS["json"])
        sheet.save(paths["sheet"], picture)
        files.write_text(paths["page"], html, OURS["page"])
        files.write_text(paths["flags"], flagfile, OURS["flags"])
