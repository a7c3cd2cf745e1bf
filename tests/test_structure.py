"""The house's one direction: a module imports only from floors at or below its own, and there is no circle."""

import ast
import pathlib

WHOLE_RUNS = 4  # modules at the top of the package that are not named below
ROOT = pathlib.Path(__file__).parent.parent
FLOORS = {
    "tools": 5,
    "ssl_keras.evals": 3,
    "ssl_keras.monitor": 3,
    "ssl_keras.checkpoints": 3,
    "ssl_keras.export": 3,
    "ssl_keras.figures": 3,
    "ssl_keras.preview": 3,
    "ssl_keras.methods": 2,
    "ssl_keras.views": 1,
    "ssl_keras.nn": 1,
    "ssl_keras.loop": 1,
    "ssl_keras.inputs": 1,
    "ssl_keras.fitting": 1,
    "ssl_keras.held_parts": 1,
    "ssl_keras.configured": 1,
    "ssl_keras.losses": 1,
    "ssl_keras.optim": 1,
    "ssl_keras.parameter_groups": 1,
    "ssl_keras.schedules": 1,
    "ssl_keras.distribute": 0,
    "ssl_keras.data": 0,
    "ssl_keras.files": 0,
    "ssl_keras.run_folder": 0,
    "ssl_keras.words": 0,
    "ssl_keras.errors": 0,
    "ssl_keras.interrupts": 0,
}


def modules() -> dict[str, pathlib.Path]:
    found = {}
    for path in [*ROOT.glob("ssl_keras/**/*.py"), *ROOT.glob("tools/*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(path: pathlib.Path, known: set[str]) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {full if (full := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
    return {name for name in names if name in known and name != "ssl_keras"}


def floor(name: str) -> int:
    matches = [room for room in FLOORS if name == room or name.startswith(f"{room}.")]
    return FLOORS[max(matches, key=len)] if matches else WHOLE_RUNS


def test_imports_point_down():
    known = modules()
    for name, path in known.items():
        if name == "ssl_keras":
            continue
        for imported in imports(path, set(known)):
            assert floor(imported) <= floor(name), f"{name} imports upwards: {imported}"


def test_config_is_imported_by_tools_and_its_own_floor_alone():
    for name, path in modules().items():
        if name != "ssl_keras" and floor(name) < 4:
            assert "ssl_keras.config" not in imports(path, set(modules())), f"{name} reads the flags"


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
