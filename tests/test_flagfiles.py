"""Every flagfile names settings, hyper-parameters and views that there are, and every method has its two."""

import dataclasses
import pathlib

import pytest

from ssl_keras import config, experiment, methods
from tests.methods import harness

ROOT = pathlib.Path(__file__).parent.parent
FLAGFILES = sorted((ROOT / "flags").glob("**/*.flags"))


def read(path):
    """The settings of a flagfile."""
    lines = path.read_text().splitlines()
    return config.Config.from_flag_lines("\n".join(line for line in lines if not line.startswith("#")))


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: str(path.relative_to(ROOT / "flags")))
def test_a_flagfile_can_be_run(path):
    settings = read(path)
    config.check(settings)
    method = methods.load(settings.method)
    experiment.method_arguments(settings, method)
    recipe = settings.views or method.default_views
    views = experiment.random_views(
        dataclasses.replace(settings, views=recipe, image_size=settings.image_size or 32)
    )
    assert views.views
    assert path.read_text().startswith("#"), "the header says where the recipe comes from"


def treatments(name):
    """path -> how the optimizer of the paper's recipe treats that parameter of a tiny instance."""
    method = harness.make(name)
    optimizer = experiment.build_optimizer(read(ROOT / "flags" / f"{name}.flags"), method, steps=100)
    variables = method.trainable_variables
    return dict(zip([v.path for v in variables], optimizer.groups.resolve(variables), strict=True))


def test_simsiams_predictor_keeps_its_learning_rate():
    found = treatments("simsiam")
    predictor = {path for path in found if "predictor" in path}
    assert predictor and predictor == {path for path, treatment in found.items() if treatment.constant_lr}


def test_barlow_twins_biases_and_norms_have_a_rate_of_their_own():
    for path, treatment in treatments("barlow_twins").items():
        assert treatment.lr_multiplier == (1.0 if path.endswith("kernel") else 0.024), path


@pytest.mark.parametrize("name", methods.names())
def test_every_method_has_a_recipe_of_its_paper_and_one_for_cifar10(name):
    assert (ROOT / "flags" / f"{name}.flags").exists()
    assert (ROOT / "flags" / "cifar10" / f"{name}.flags").exists()
