"""What makes a tool start sooner changes nothing else."""

import os
import subprocess
import sys

from ssl_keras import files, startup
from tests.runs import TINY, losses, run_tool


def python(code: str, **variables: str) -> str:
    """What a new process prints."""
    environment = {**{k: v for k, v in os.environ.items() if k != "TF_XLA_FLAGS"}, **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_no_tool_uses_is_imported_when_it_is_asked_for():
    code = """
import sys
import ssl_keras.startup
ssl_keras.startup.sooner()
import keras, keras_cv
assert keras.backend.backend() == "tensorflow" and keras_cv.layers.BaseImageAugmentationLayer
print([name for name in ssl_keras.startup.UNUSED if name in sys.modules])
import sklearn.linear_model, matplotlib
print(sklearn.linear_model.LogisticRegression.__name__)
"""
    assert python(code).splitlines() == ["[]", "LogisticRegression"]


def test_a_program_of_the_views_is_compiled_once_and_gives_the_same_run(tmp_path):
    def train(name: str, cache: str) -> int:
        variables = {files.CACHE: cache, "TF_XLA_FLAGS": ""}
        flags = [*TINY, "--epochs=1", f"--workdir={tmp_path}/{name}"]
        run_tool("pretrain", *flags, variables=variables)
        return sum(len(names) for _, _, names in os.walk(cache))

    cache = str(tmp_path / "cache")
    made = train("first", cache)
    assert made > 0 and train("again", cache) == made
    assert losses(tmp_path / "first") == losses(tmp_path / "again")


def test_the_oldest_programs_give_way_and_switches_of_ones_own_are_kept(tmp_path):
    code = "from ssl_keras import startup; startup.keep_programs(); import os; print(os.environ.get('TF_XLA_FLAGS'))"
    told = python(code, **{files.CACHE: str(tmp_path), "TF_XLA_FLAGS": "--tf_xla_clustering_debug=false"})
    assert told.startswith("--tf_xla_clustering_debug=false --tf_xla_persistent_cache_directory=")
    (folder,) = tmp_path.iterdir()
    for number in range(startup.KEPT + 3):
        (folder / f"{number}.pb").touch()
        os.utime(folder / f"{number}.pb", (number, number))
    python(code, **{files.CACHE: str(tmp_path)})
    assert {path.name for path in folder.iterdir()} == {f"{number}.pb" for number in range(3, startup.KEPT + 3)}
    own = "--tf_xla_persistent_cache_directory=/elsewhere"
    assert python(code, **{files.CACHE: str(tmp_path), "TF_XLA_FLAGS": own}) == own
    assert python(code, **{files.CACHE: ""}) == "None"
    (tmp_path / "file").touch()
    assert python(code, **{files.CACHE: str(tmp_path / "file")}) == "None"  # a place that cannot be written to
