"""Where images come from, one file for each kind, found by its name: `--data=NAME:REST` is read by NAME.py.

A file has `FORMS`, how its data is written (what the word PATH or GLOB stands for is a path), and
`open_source(rest, wanted) -> Source`.
"""

import ast
import os

from ssl_keras import files
from ssl_keras.errors import UserError
from ssl_keras.registry import Registry
from ssl_keras.words import nearest

REGISTRY = Registry(__name__, "kind of data")


def open_source(
    spec: str, split: str = "train", data_dir: str | None = None, canvas_size: int | None = None, seed: int = 0
):
    """The images that a data specification names, as a `source.Source`.

    Args:
        spec: one of `forms()`. N images are rendered of a built-in set (default 4000); SPLIT is tfds's own
            slicing language (`train[:10%]`) and names the training images. `~` in a path is the home folder.
        split: "train", or "test" for the data's own test images.
        data_dir: where tfds finds prepared data sets (default: tfds's own, ~/tensorflow_datasets).
        canvas_size: side of the built-in images, px (default 32); other data has its own sizes.
        seed: which built-in images are rendered.
    Raises:
        UserError: the specification is unknown, or nothing is there; the message says what was looked for
            where.
    """
    from ssl_keras.data.source import Wanted

    kind, _, rest = spec.partition(":")
    if split not in ("train", "test"):
        raise UserError(f"unknown split {split!r}: expected train or test")
    if kind not in REGISTRY.names() or not rest:
        hint = f" (did you mean folder:{spec}?)" if os.path.isdir(os.path.expanduser(spec)) else ""
        close = nearest(kind, REGISTRY.names()) if rest else ""
        raise UserError(f"unknown data {spec!r}{close}: expected one of {', '.join(forms())}{hint}")
    rest = os.path.expanduser(rest) if takes_path(kind) else rest
    return REGISTRY.load(kind).open_source(rest, Wanted(split, data_dir, canvas_size, seed))


def forms() -> list[str]:
    """How each kind of data is written, such as "folder:PATH"."""
    return [form for kind in REGISTRY.names() for form in _forms(kind)]


def takes_path(kind: str) -> bool:
    """Whether data of this kind is named by a path."""
    return kind in REGISTRY.names() and any(form.endswith((":PATH", ":GLOB")) for form in _forms(kind))


def absolute(spec: str) -> str:
    """A specification with an absolute path where it names one, so that a run knows its data from any folder."""
    kind, _, rest = spec.partition(":")
    return f"{kind}:{os.path.abspath(files.local(rest))}" if rest and takes_path(kind) else spec


def real(spec: str) -> str:
    """A specification with links resolved, for comparison."""
    kind, _, rest = absolute(spec).partition(":")
    return f"{kind}:{os.path.realpath(rest)}" if takes_path(kind) else spec


def _forms(kind: str) -> tuple[str, ...]:
    body = REGISTRY.read(kind).body
    assigned = (node for node in body if isinstance(node, ast.Assign))
    return ast.literal_eval(next(node.value for node in assigned if node.targets[0].id == "FORMS"))
