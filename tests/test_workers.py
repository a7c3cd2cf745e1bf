"""Several worker processes train as one, one of them writes, and after a loss all of them go on together."""

import json
import pathlib
import signal
import socket
import subprocess
import time

import numpy as np
import pytest

from tests import forks
from tests.runs import TINY, epochs_written, losses, run_tool, wait_for

# Steps so small that rounding, which differs between one process and two, does not grow from step to step.
GENTLE = [*TINY, "--learning_rate=1e-5", "--lr_scaling=none", "--optimizer=sgd", "--schedule=constant"]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start_workers(workdir, *flags: str, count: int = 2) -> list[subprocess.Popen]:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = []
    for index in range(count):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = ["pretrain", *flags, "--strategy=multi_worker", f"--workdir={workdir}"]
        variables = {"TF_CONFIG": json.dumps(config)}
        workers.append(forks.start(*command, output=f"{workdir}.{index}.log", variables=variables))
    return workers


def finish(workers: list[subprocess.Popen], seconds: float = 600) -> list[int]:
    """Exit statuses; kills what has not ended in time, since a worker without its peers ignores SIGTERM."""
    until = time.monotonic() + seconds
    try:
        return [worker.wait(max(1.0, until - time.monotonic())) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


def said(workdir, index: int) -> str:
    return pathlib.Path(f"{workdir}.{index}.log").read_text()


@pytest.mark.parametrize(
    "name", ["simclr", pytest.param("moco", marks=pytest.mark.slow), pytest.param("byol", marks=pytest.mark.slow)]
)
def test_two_workers_have_the_losses_of_one_process(name, tmp_path):
    flags = [f"--flagfile=flags/cifar10/{name}.flags", *GENTLE]
    assert finish(start_workers(tmp_path / "two", *flags)) == [0, 0], said(tmp_path / "two", 0)[-3000:]
    run_tool("pretrain", *flags, f"--workdir={tmp_path}/one", timeout=600)
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-3)
    # Only the chief reports.
    assert "epoch 1/2" in said(tmp_path / "two", 0) and "epoch 1/2" not in said(tmp_path / "two", 1)
    assert len(list((tmp_path / "two" / "tensorboard").glob("events*.v2"))) == 1


@pytest.mark.slow
def test_after_a_worker_is_killed_the_others_end_and_all_go_on(tmp_path):
    workdir = tmp_path / "two"
    run_tool("pretrain", *GENTLE, "--epochs=40", f"--workdir={tmp_path}/one", timeout=600)
    flags = [*GENTLE, "--epochs=40"]
    workers = start_workers(workdir, *flags)
    wait_for(workers, lambda: epochs_written(workdir) >= 3, seconds=300)
    workers[1].send_signal(signal.SIGKILL)
    assert finish(workers, 120)[0] == 75
    assert "another worker is gone" in said(workdir, 0) and "Traceback" not in said(workdir, 0)
    assert finish(start_workers(workdir, *flags)) == [0, 0]
    assert "resuming" in said(workdir, 0)
    np.testing.assert_allclose(losses(workdir), losses(tmp_path / "one"), rtol=1e-2)  # rounding grows in 120 steps


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_all_at_the_same_step(tmp_path):
    workdir = tmp_path / "two"
    workers = start_workers(workdir, *GENTLE, "--epochs=3000")
    wait_for(workers, lambda: epochs_written(workdir) >= 2, seconds=300)
    workers[1].send_signal(signal.SIGTERM)
    assert finish(workers, 120) == [75, 75]
    assert "SIGTERM" in said(workdir, 1) and "a signal to another worker" in said(workdir, 0)


def test_slurm_s_variables_become_a_cluster(monkeypatch):
    from ssl_keras import distribute

    for name, value in {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_NODELIST": "n[1-2]",
        "SLURM_STEP_TASKS_PER_NODE": "2,1",
    }.items():
        monkeypatch.setenv(name, value)
    cluster = distribute._slurm_cluster()
    assert cluster["cluster"] == {"worker": ["n1:8888", "n1:8889", "n2:8888"]}
    assert cluster["task"] == {"type": "worker", "index": 2}
