"""Every flagfile names settings, hyper-parameters and views that there are, and every method has its two."""

import dataclasses
import pathlib

import pytest

from ssl_keras import config, experiment, methods

ROOT = pathlib.Path(__file__).parent.parent
FLAGFILES = sorted((ROOT / "flags").glob("**/*.flags"))


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: str(path.relative_to(ROOT / "flags")))
def test_a_flagfile_can_be_run(path):
    lines = path.read_text().splitlines()
    settings = config.Config.from_flag_lines("\n".join(line for line in lines if not line.startswith("#")))
    config.check(settings)
    method = methods.load(settings.method)
    experiment.method_arguments(settings, method)
    recipe = settings.views or method.default_views
    views = experiment.random_views(
        dataclasses.replace(settings, views=recipe, image_size=settings.image_size or 32)
    )
    assert views.views
    assert lines[0].startswith("#"), "the header says where the recipe comes from"


@pytest.mark.parametrize("name", methods.names())
def test_every_method_has_a_recipe_of_its_paper_and_one_for_cifar10(name):
    assert (ROOT / "flags" / f"{name}.flags").exists()
    assert (ROOT / "flags" / "cifar10" / f"{name}.flags").exists()
