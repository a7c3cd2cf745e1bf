"""The house's one direction: a module imports only from rooms on floors below its own, and there is no circle."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
MOST_LINES = 300
# From the ground up. Rooms on one floor do not import each other; a room is a module, or a folder with all in it.
FLOORS = [
    ["errors"],
    ["words"],
    ["files", "interrupts", "machine", "progress", "registry", "resolution"],
    ["startup"],
    ["console", "run_folder", "distribute", "settings", "data.apart"],
    ["data.formats", "data.folders", "data.scenes", "data.reading"],
    ["data.axes", "data.ranges", "data.tiling", "data.values"],
    ["data.readers"],
    ["data.source", "data.known_facts"],
    ["data.reasons", "data.identity", "data.records", "data.labels", "data.measured", "data.groups"],
    ["data.stacks", "data.tiles", "data.shards"],
    ["data.sources", "data.canvases"],
    ["data.splits"],
    ["chunked_loss"],
    ["losses", "optim", "views", "scores"],
    ["nn"],
    ["training"],
    ["methods"],
    ["config"],
    ["encoders"],
    ["build"],
    ["evals", "export", "embed", "transfer", "figures"],
    ["preview", "projector", "packing"],
    ["watching"],
    ["experiment"],
    ["studies", "report", "inspection", "benchmarks"],
    ["cli"],
    ["tools"],
]


def modules() -> dict[str, pathlib.Path]:
    found = {}
    for path in [*ROOT.glob("ssl_keras/**/*.py"), *ROOT.glob("tools/*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__").removeprefix("ssl_keras.")] = path
    return found


def imports(path: pathlib.Path, known: set[str]) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}".removeprefix("ssl_keras.")
                names.add(full if full in known else node.module)
    return {name.removeprefix("ssl_keras.") for name in names} & known - {"ssl_keras"}


def place(name: str) -> tuple[int, str]:
    """The floor and the room of a module."""
    rooms = [(floor, room) for floor, names in enumerate(FLOORS) for room in names]
    found = [(floor, room) for floor, room in rooms if name == room or name.startswith(f"{room}.")]
    assert found, f"{name} has no room: add it to FLOORS"
    return max(found, key=lambda pair: len(pair[1]))


def test_imports_point_down():
    known = modules()
    for name, path in known.items():
        if name in ("ssl_keras", "data"):  # the package itself, and a folder of rooms
            continue
        floor, room = place(name)
        for imported in imports(path, set(known)):
            below, other = place(imported)
            way = "sideways" if below == floor else "up"
            assert below < floor or other == room, f"{name} imports {way}: {imported}"


@pytest.mark.parametrize("form", ["import ssl_keras.cli", "from ssl_keras import cli", "from ssl_keras.cli import run"])
def test_every_form_of_import_is_seen(tmp_path, form):
    (tmp_path / "module.py").write_text(form)
    assert imports(tmp_path / "module.py", {"cli", "errors"}) == {"cli"}


def test_no_file_is_long():
    for name, path in modules().items():
        lines = len(path.read_text().splitlines())
        assert lines <= MOST_LINES, f"{name} has {lines} lines: a sign of two subjects"


def test_no_circles():
    known = modules()
    graph = {name: imports(path, set(known)) - {name} for name, path in known.items()}
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"circle: {' -> '.join([*open_[open_.index(name) :], name])}"
        if name in done:
            return
        open_.append(name)
        for imported in graph[name]:
            visit(imported)
        done.add(open_.pop())

    for name in graph:
        visit(name)
