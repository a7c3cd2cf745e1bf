"""What stands in two places, so that help and errors come before TensorFlow loads, is the same in both."""

import ast
import inspect
import pathlib
import re

import keras
import pytest

from ssl_keras import distribute, methods, optim, run_folder
from ssl_keras.benchmarks import training, views
from ssl_keras.build.method import jit_compile
from ssl_keras.config import Config, settings
from ssl_keras.data.canvases import partners, pipeline
from ssl_keras.data.formats import decode, size
from ssl_keras.data.readers import contract
from ssl_keras.nn import backbones, norm, resnet, vit
from ssl_keras.optim import schedules
from ssl_keras.views import color, layer, policies, render
from tests.methods import harness

CHOICES = {
    "strategy": distribute.STRATEGIES,
    "schedule": schedules.SCHEDULES,
    "lr_scaling": schedules.SCALINGS,
    "dtype": contract.DTYPES,
    "pages": contract.PAGES,
    "positives": partners.POSITIVES,
    "stem": resnet.STEMS,
    "pool": vit.POOLS,
    "norm": norm.NORMS,
    "color": layer.COLORS,
}
NAMED_ONCE = {"precision", "jit_compile"}  # whose values are Keras's and this setting's own
TOLD = {  # in the help
    "optimizer": optim.OPTIMIZERS,
    "backbone": backbones.BACKBONES,
    "method": methods.names(),
    "views_without": policies.REMOVALS,
}


def test_every_setting_with_choices_is_compared():
    assert {name for name, known in settings().items() if known.choices} == {*CHOICES, *NAMED_ONCE}


@pytest.mark.parametrize("name", CHOICES)
def test_choices_of_a_setting_are_those_of_the_code(name):
    assert set(settings()[name].choices) == set(CHOICES[name])


@pytest.mark.parametrize("name", TOLD)
def test_the_help_names_all_that_the_code_knows(name):
    text = re.sub("^what to train|^.*separated by commas: ", "", settings()[name].text)
    assert set(re.findall(r"\w+", text)) == set(TOLD[name])


def test_every_precision_is_one_of_keras_and_every_compilation_is_decided():
    for name in set(settings()["precision"].choices) - {"auto"}:
        assert keras.dtype_policies.get(name).name == name
    decided = {name: jit_compile(Config(jit_compile=name)) for name in settings()["jit_compile"].choices}
    assert decided == {"true": True, "false": False, "auto": "auto"}


def test_numbers_of_the_settings_are_those_of_the_code():
    assert settings()["max_megapixels"].most == Config().max_megapixels == size.LARGEST
    defaults = {name: p.default for name, p in inspect.signature(schedules.schedule).parameters.items()}
    assert tuple(map(float, Config().milestones.split(","))) == defaults["milestones"]
    assert Config().lr_drop == defaults["decay_factor"]


def test_pixels_are_alike_in_data_and_views():
    assert set(pipeline.DTYPES) == set(decode.MAXIMUM) <= set(render.FULL_SCALE)
    assert color.LUMA == decode.LUMA


def test_suites_of_the_benchmark_are_those_that_there_are():
    source = (pathlib.Path(__file__).parent.parent / "tools" / "benchmark.py").read_text()

    def written(pattern):
        return ast.literal_eval(re.search(pattern, source)[1])

    others = {"views", "memory", "evaluation", "time_to_accuracy", "lightly"}
    assert set(written(r"SUITES = (\(.*\))")) == {*training.PARTS} | others
    assert tuple(map(int, written(r'DEFINE_list\("sizes", (\[.*?\])'))) == tuple(views.CANVAS)
    assert set(written(r'DEFINE_list\("policies", (\[.*?\])')) <= set(policies.POLICIES)


def test_what_a_run_leaves_is_what_it_says_are_its_files(finished):
    found = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert found <= set(run_folder.NAMES)
    assert {*run_folder.NAMES} - found <= {run_folder.BAD_FILES, run_folder.REPORT, "evals"}


def test_the_facts_of_the_data_that_methods_take_are_given_here():
    assert set(harness.FACTS) == set(methods.FACTS)
