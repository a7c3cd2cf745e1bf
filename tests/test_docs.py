"""What the documents print runs, what they link is there, and prose is spelled in one way, the American one."""

import ast
import importlib
import pathlib
import re
import sys
import textwrap
import tokenize
import types

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import methods
from tests.methods import harness

ROOT = pathlib.Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "BUILD.md"])
PROGRAMS = sorted([*ROOT.glob("ssl_keras/**/*.py"), *ROOT.glob("tools/*.py")])
FLAGFILES = sorted(ROOT.glob("flags/**/*.flags"))

BRITISH = re.compile(
    r"\b(\w*colou?ur\w*|grey\w*|centre\w*|centring|uncentred|\w*neighbour\w*|behaviour\w*|favour\w*|\w*metre|metres|"
    r"(un|re)?labell\w+|modell\w+|travell\w+|cancell\w+|analyse\w*|catalogue\w*|artefact\w*|licence\w*|practise\w*|"
    r"judgement\w*|learnt|whilst|mould\w*|programme|per cent|"
    r"\w*(normal|initial|optim|general|special|regular|recogn|organ|synchron|minim|maxim|serial|quant|standard|summar|"
    r"visual|memor|character|categor|factor|local|util|emphas)is(e|ed|es|er|ers|ing|ation|ations))\b",
    re.I,
)


def prose(text: str) -> str:
    """The words of a text, without what is code: in backticks, or a path, a flag or an address."""
    text = re.sub(r"```.*?```", " ", text, flags=re.S)
    return re.sub(r"`[^`]*`|\S*[/=:_]\S+", " ", text)


def words_of_program(path: pathlib.Path) -> list[str]:
    """Comments, docstrings, help and messages: all comments and strings of a file."""
    with open(path, "rb") as file:
        comments = [token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
    nodes = ast.walk(ast.parse(path.read_text()))
    return [*comments, *(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))]


def words_of(path: pathlib.Path) -> list[str]:
    if path.suffix == ".py":
        return words_of_program(path)
    lines = path.read_text().splitlines()
    return lines if path.suffix == ".md" else [line for line in lines if line.startswith("#")]


@pytest.mark.parametrize("path", [*DOCS, *PROGRAMS, *FLAGFILES], ids=lambda path: str(path.relative_to(ROOT)))
def test_spelling_is_american(path):
    found = [match[0] for text in words_of(path) for match in BRITISH.finditer(prose(text))]
    assert not found


def test_the_list_of_british_forms_finds_them_and_nothing_else():
    british = "colours grey-level centred neighbours normalised optimisation unlabelled behaviour recognises"
    assert len(BRITISH.findall(british)) == len(british.split())
    assert not BRITISH.search("color gray center neighbor parameter diameter otherwise noise labels analysis premise")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_to_files(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("name", methods.names())
def test_the_text_of_each_argument_says_what_it_is(name):
    """It is printed behind the argument's name alone: no "of the softmax", no "see above"."""
    for argument, (_, _, text) in methods.arguments(name).items():
        assert not re.match(r"(of|as|see|like|the same)\b", text), f"{argument}: {text}"


# ---- the method that docs/methods.md prints --------------------------------------------------------------------------


def printed_code() -> list[str]:
    section = (ROOT / "docs" / "methods.md").read_text().partition("## Adding one")[2]
    return re.findall(r"```python\n(.*?)```", section, re.S)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The name of the printed method, which `methods` finds in a folder of its own."""
    name, folder = "moco_v3", tmp_path_factory.mktemp("methods")
    (folder / f"{name}.py").write_text(printed_code()[0])
    own_test = types.ModuleType(f"tests.methods.test_{name}")
    own_test.TINY = {"hidden_dim": 32, "projection_dim": 16}
    methods.__path__.append(str(folder))
    sys.modules[own_test.__name__] = own_test
    importlib.invalidate_caches()
    yield name
    methods.__path__.remove(str(folder))
    del sys.modules[own_test.__name__]
    sys.modules.pop(f"{methods.__name__}.{name}", None)


def test_the_printed_method_is_found_by_its_name(printed):
    assert printed in methods.names() and "MoCo v3" in methods.summary(printed)
    assert all(argument.text for argument in methods.arguments(printed).values())


def test_the_printed_method_trains_every_weight_and_learns(printed):
    method = harness.make(printed, temperature=0.2, momentum=0.9)
    before = {v.path: v.numpy() for v in method.weights}
    losses = method.fit(harness.batches(2).repeat(), epochs=10, steps_per_epoch=2).history["loss"]
    moving = [*method.trainable_variables, *(v for v in method.weights if v.path.startswith(method.state))]
    for variable in moving:
        assert np.any(variable.numpy() != before[variable.path]), variable.path
    assert losses[-1] < 0.9 * losses[0], losses


def test_minimize_is_the_five_lines_that_are_printed(printed):
    ours, plain = harness.make(printed), harness.make(printed)
    x1, x2 = ours.make_views(next(iter(harness.batches(1))))
    keys = ours.without_gradient(ours.keys, x1, x2)
    start = {v.path: v.numpy() for v in ours.backbone.weights}

    def loss_by(method):
        return lambda q1, q2: method.contrast(q1, keys[1]) + method.contrast(q2, keys[0])

    ours.minimize(ours.queries, loss_by(ours), x1, x2)
    names = {"tf": tf, "self": plain, "embed": plain.queries, "loss_of": loss_by(plain), "inputs": (x1, x2)}
    exec(textwrap.dedent(printed_code()[1]), names)
    for v, w in zip(ours.backbone.weights, plain.backbone.weights, strict=True):
        assert not v.trainable or np.any(v.numpy() != start[v.path])
        np.testing.assert_allclose(w.numpy(), v.numpy(), rtol=1e-6, atol=1e-7, err_msg=v.path)
