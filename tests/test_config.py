import subprocess
import sys

import pytest

from ssl_keras.config import Config
from ssl_keras.settings import check_micro_batches


def test_flag_lines_give_the_same_settings_back():
    config = Config(method="simsiam", method_arg=("a=1", "b=x"), learning_rate=0.12, image_size=48, data="folder:a b")
    assert Config.from_flag_lines(config.flag_lines()) == config


def test_differences_name_what_differs_and_not_where_it_runs():
    there = Config(seed=1, workdir="a", image_size=32)
    assert Config(seed=1, workdir="b", strategy="mirrored", image_size=32).differences(there) == []
    (line,) = Config(seed=2, workdir="a", image_size=32).differences(there)
    assert "--seed" in line and "1 there" in line and "2 here" in line


def test_a_setting_left_open_is_no_difference():
    assert Config().differences(Config(image_size=32, views="simclr", stem="cifar")) == []


def test_unknown_settings_in_a_folder_are_named():
    with pytest.raises(ValueError, match="--colour"):
        Config.from_flag_lines("--colour=red\n")


def tool(*arguments):
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "flag, expected",
    [
        ("--method=simclear", "known: "),
        ("--metod=simclr", "did you mean --method?"),
        ("--image_size=0", "at least 8, got 0 (left out: 224, or"),
        ("--batch_size=-1", "at least 1"),
        ("--epochs=many", "epochs"),
        ("--strategy=magic", "mirrored"),
        ("--norm=layer", "batch|group"),
        ("--micro_batch_size=512", "must divide --batch_size=256"),
        ("--micro_batch_size=100", "must divide --batch_size=256"),
    ],
)
def test_a_wrong_flag_ends_with_one_sentence(flag, expected):
    done = tool("tools.pretrain", "--workdir=never_made", flag)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ") and expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "flag, expected",
    [
        ("--temperature=0.2", "--temperature is an argument of simclr: --method_arg=temperature=0.2"),
        ("--mask_ratio=0.5", "is an argument of mae: --method=mae --method_arg=mask_ratio=0.5"),
        ("--queue_length=9", "is an argument of dense_cl, moco, nnclr, swav: --method=NAME --method_arg=queue_len"),
        ("--lerning_rate=1", "unknown flag --lerning_rate (did you mean --learning_rate?)"),
        ("--zzz=1", "unknown flag --zzz; --help lists all flags"),
        ("--method=simclrr", "did you mean simclr?"),
    ],
)
def test_a_misspelt_flag_gets_the_nearest_one_and_an_argument_its_place(flag, expected):
    done = tool("tools.pretrain", flag)
    assert done.returncode != 0 and done.stderr.startswith("error: ") and expected in done.stderr


@pytest.mark.parametrize("replicas, micro_batch_size", [(1, 1), (1, 64), (4, 64), (2, 8)])
def test_micro_batches_divide_the_batch_and_among_the_replicas(replicas, micro_batch_size):
    check_micro_batches(64, micro_batch_size, replicas)
    with pytest.raises(ValueError, match="multiple of the 128 replicas"):
        check_micro_batches(64, micro_batch_size, 128)


def test_config_imports_nothing_heavy():
    code = "import sys; import tools.pretrain; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
