"""Every flagfile names settings, hyper-parameters and views that there are, and every method has one."""

import dataclasses
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import config, methods
from ssl_keras.build import arguments as build_arguments
from ssl_keras.build import method as build_method
from ssl_keras.build import optimizer as build_optimizer
from tests.methods import harness

ROOT = pathlib.Path(__file__).parent.parent
EVALS = ROOT / "flags" / "evals"  # of tools.evaluate: see tests/evals/test_flagfiles.py
FLAGFILES = sorted(path for path in (ROOT / "flags").glob("**/*.flags") if path.parent != EVALS)


def read(path):
    """The settings of a flagfile."""
    lines = path.read_text().splitlines()
    return config.Config.from_flag_lines("\n".join(line for line in lines if not line.startswith("#")))


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: str(path.relative_to(ROOT / "flags")))
def test_a_flagfile_can_be_run(path):
    settings = read(path)
    config.check(settings)
    method = methods.load(settings.method)
    build_arguments.method_arguments(settings, method)
    recipe = settings.views or method.default_views
    views = build_method.random_views(
        dataclasses.replace(settings, views=recipe, image_size=settings.image_size or 32)
    )
    assert views.views
    assert path.read_text().startswith("#"), "the header says where the recipe comes from"


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: str(path.relative_to(ROOT / "flags")))
def test_a_header_names_its_own_file_and_no_settings_that_nothing_tests(path):
    """What differs from a recipe is a recipe: settings stand in comments in commands that start this one alone."""
    header = "".join(line[1:] for line in path.read_text().splitlines() if line.startswith("#"))
    name = path.relative_to(ROOT)
    command = rf"python -m tools\.pretrain --flagfile={name}(( \\ *)? --(data|data_dir|strategy|workdir)=\S+)+"
    assert re.search(command, header), f"no command for {name}"
    assert "--" not in re.sub(command, "", header)
    for other in re.findall(r"[\w/]+\.flags", header):
        places = (ROOT, ROOT / "flags", path.parent)
        assert any((place / other).exists() for place in places), f"{other} is not there"


@pytest.mark.parametrize("path", (ROOT / "flags" / "start").iterdir(), ids=lambda path: path.name)
def test_a_recipe_to_start_from_gives_its_reasons(path):
    """A comment stands above each group of settings, and a group is of one subject: five lines at most."""
    groups = re.split(r"^#.*\n", path.read_text(), flags=re.M)
    assert all(group.count("--") <= 5 for group in groups) and sum(map(bool, groups)) >= 10


def treatments(name):
    """path -> how the optimizer of the paper's recipe treats that parameter of a tiny instance."""
    method = harness.make(name)
    optimizer = build_optimizer.build_optimizer(read(ROOT / "flags" / f"{name}.flags"), method, steps=100)
    variables = method.trainable_variables
    return dict(zip([v.path for v in variables], optimizer.groups.resolve(variables), strict=True))


def test_simsiams_predictor_keeps_its_learning_rate():
    found = treatments("simsiam")
    predictor = {path for path in found if "predictor" in path}
    assert predictor and predictor == {path for path, treatment in found.items() if treatment.constant_lr}


def test_barlow_twins_biases_and_norms_have_a_rate_of_their_own():
    for path, treatment in treatments("barlow_twins").items():
        assert treatment.lr_multiplier == (1.0 if path.endswith("kernel") else 0.024), path


def test_barlow_twins_steps_are_those_of_a_sixteenth_of_the_losses_gradient():
    """The released code's on 16 GPUs: of a bias, 0.0048 times that; of a kernel, LARS's with it and a decay of 1e-6."""
    settings = dataclasses.replace(read(ROOT / "flags" / "barlow_twins.flags"), batch_size=256, warmup_epochs=0)
    scale = dict(item.split("=") for item in settings.method_arg)["loss_scale"]
    method = harness.make("barlow_twins", loss_scale=float(scale))
    method.compile(optimizer=build_optimizer.build_optimizer(settings, method, steps=100), jit_compile=False)
    views = method.make_views(next(iter(harness.batches(1))))
    before = {v.path: v.numpy() for v in method.trainable_variables}
    with tf.GradientTape() as tape:
        loss = method.redundancy(*method.project(*views)) / method.loss_scale  # that of the paper
    gradients = tape.gradient(loss, [v.value for v in method.trainable_variables])
    method.minimize(method.project, method.redundancy, *views)
    for variable, gradient in zip(method.trainable_variables, gradients, strict=True):
        weight, sixteenth = before[variable.path], gradient.numpy() / 16
        if weight.ndim == 1:
            expected = 0.0048 * sixteenth
            assert variable.path.endswith("gamma") is False or np.abs(expected).max() > 1e-5
        else:
            decayed = sixteenth + 1e-6 * weight
            expected = 0.2 * 0.001 * np.linalg.norm(weight) / np.linalg.norm(decayed) * decayed
        np.testing.assert_allclose(weight - variable.numpy(), expected, rtol=2e-2, atol=1e-6, err_msg=variable.path)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_has_a_flagfile(name):
    assert any((ROOT / "flags" / folder / f"{name}.flags").exists() for folder in ("", "cifar10"))
