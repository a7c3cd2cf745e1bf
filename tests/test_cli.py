"""Help that people can read, of every tool: all its flags, in groups, at once."""

import ast
import dataclasses
import inspect
import pathlib
import re
import subprocess
import sys
import time

import pytest

from ssl_keras import methods
from ssl_keras.config import Config, check, settings
from ssl_keras.settings import GROUPS

TOOLS = sorted(path.stem for path in (pathlib.Path(__file__).parent.parent / "tools").glob("[a-z]*.py"))
OWN = re.compile(r'(?:DEFINE_\w+|define_path)\(\s*"(\w+)"')


def help_of(tool: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"tools.{tool}", *arguments, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_help_lists_all_flags_of_a_tool(tool):
    source = pathlib.Path("tools", f"{tool}.py").read_text()
    text = help_of(tool)
    expected = OWN.findall(source)
    if "cli.define()" in source:
        expected += list(settings())
        assert [line.split(":")[0] for line in text.splitlines() if line.split(":")[0] in GROUPS] == list(GROUPS)
    assert expected or tool == "data_worker"
    for name in expected:
        assert re.search(rf"^  --{name}\b", text, re.M), name
    assert f"python -m tools.{tool}" in text and "<" not in text.replace("<=", "")
    assert max(map(len, text.splitlines())) <= 160


def test_help_costs_no_tensorflow():
    """Two seconds are many times what it takes; TensorFlow's import takes more than that on any machine."""
    code = "import sys; from ssl_keras import cli; cli.define(); sys.argv[0] = 'x'; "
    code += "from absl import flags; flags.FLAGS(['x']); cli.help_text(''); "
    code += "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules or 'numpy' in sys.modules)"
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("name", methods.names())
def test_help_of_a_method_lists_its_arguments_as_its_constructor_has_them(name):
    parameters = inspect.signature(methods.load(name).__init__).parameters
    expected = {
        key: p.default
        for key, p in parameters.items()
        if p.kind is p.KEYWORD_ONLY and key not in methods.FACTS
    }
    found = methods.arguments(name)
    assert {key: ast.literal_eval(argument.default) for key, argument in found.items()} == expected
    assert all(argument.text for argument in found.values()), [k for k, a in found.items() if not a.text]


def test_help_shows_the_arguments_of_the_chosen_method():
    text = help_of("pretrain", "--method=moco")
    assert "MoCo (He et al., 2019" in text and "queue_length=65536" in text
    assert "temperature=0.07" in text


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"epochs": 0}, "--epochs must be at least 1"),
        ({"learning_rate": 0.0}, "greater than 0"),
        ({"learning_rate": float("inf")}, "finite"),
        ({"weight_decay": float("nan")}, "finite"),
        ({"stem": "vgg"}, "imagenet, cifar"),
        ({"keep_checkpoints": 1}, "at least 2"),
        ({"method": "mocco"}, "did you mean moco"),
    ],
)
def test_a_setting_knows_its_range(changes, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        dataclasses.replace(Config(), **changes)


def test_every_setting_says_what_it_is():
    check(Config())
    for name, known in settings().items():
        assert known.group in GROUPS and known.text and not known.text.endswith("."), name


@pytest.mark.parametrize(
    "raised, traceback",
    [
        ("UserError('mend it')", False),
        ("OSError('no such disk')", False),
        ("ValueError('ours')", True),
        ("KeyError('ours')", True),
    ],
)
def test_a_users_mistake_is_a_sentence_and_a_fault_of_ours_a_traceback(raised, traceback):
    code = "from ssl_keras import cli; from ssl_keras.errors import UserError\n"
    code += f"def main(): raise {raised}\ncli.run(main)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and ("Traceback" in done.stderr) is traceback
    assert done.stderr.startswith("error: ") is not traceback
    debugged = subprocess.run([sys.executable, "-c", code, "--debug"], capture_output=True, text=True)
    assert "Traceback" in debugged.stderr and debugged.returncode == 1
