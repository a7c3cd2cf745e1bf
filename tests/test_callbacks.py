"""What the callbacks of a run add to its logs, say and save: runs of the loop, on a model that only counts."""

import json
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.interrupts import Interrupted
from ssl_keras.progress import CLEAR
from ssl_keras.scores.spectrum import effective_rank, rankme, uniformity
from ssl_keras.training import loop, progress, speed
from ssl_keras.training.finite import DivergedError, StopWhenNotFinite
from ssl_keras.training.health import Health
from ssl_keras.training.metrics_log import MetricsLog
from ssl_keras.training.progress import Progress
from ssl_keras.training.resources import Resources
from ssl_keras.training.saving import SaveCheckpoints
from ssl_keras.training.score import Score
from ssl_keras.training.speed import Speed
from ssl_keras.training.spread import even_z_std

BATCH, STEPS = 10, 4  # images in a step, steps in an epoch


class Counting(keras.Model):
    """A model whose loss is the number of the step."""

    micro_batch_size, view_share = None, 1.0

    def __init__(self):
        super().__init__()
        self.compile(optimizer=keras.optimizers.SGD(0.5))
        self.optimizer.build([])

    def train_step(self, batch):
        self.optimizer.iterations.assign_add(1)
        return {"loss": tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.float32)}


class Seen(keras.callbacks.Callback):
    """The logs of each epoch as the callbacks before it leave them."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs))


class Clock(keras.callbacks.Callback):
    """A clock by which the first step takes 30 seconds, a later one 2, and what comes between two epochs 100."""

    now, slow = 1000.0, 30.0

    def perf_counter(self):
        return self.now

    def on_train_batch_begin(self, batch, logs=None):
        self.first = batch

    def on_train_batch_end(self, batch, logs=None):
        self.now += self.slow + 2.0 * (batch - self.first)
        self.slow = 2.0

    def on_epoch_end(self, epoch, logs=None):
        self.now += 100.0


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (speed, progress):
        monkeypatch.setattr(module, "time", clock)
    return clock


def run(callbacks, epochs=2, **settings):
    """What the epochs of a run have in their logs in the end."""
    model, seen = Counting(), Seen()
    model.optimizer.iterations.assign(settings.get("start_step", 0))
    data = tf.data.Dataset.range(STEPS * epochs)
    loop.fit(model, data, epochs=epochs, steps_per_epoch=STEPS, callbacks=[*callbacks, seen], **settings)
    return seen.epochs


def test_speed_is_that_of_the_steps_without_the_first_and_without_what_comes_between_epochs(clock):
    first, second = run([clock, Speed(BATCH)])
    assert first["seconds"] == 30 + 3 * 2 + 100  # the clock's own end of the epoch comes before
    assert first["images_per_second"] == second["images_per_second"] == BATCH / 2


def test_an_epoch_entered_in_its_middle_counts_its_seconds_from_its_beginning(clock):
    first, second = run([clock, Speed(BATCH, seconds=50.0)], start_step=2)
    assert (first["seconds"], second["seconds"]) == (50 + 30 + 2 + 100, STEPS * 2 + 100)
    assert first["images_per_second"] == BATCH / 2


def test_several_steps_at_once_have_their_number_of_images(clock):
    _, second = run([clock, Speed(BATCH)], steps_per_execution=3)
    assert second["images_per_second"] == BATCH / 2


def test_off_a_terminal_an_epoch_is_a_line_with_its_numbers_and_the_time_left(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: False, raising=False)
    clock.slow = 2.0
    run([clock, Progress(3, BATCH)], epochs=3)
    clock.now -= 300  # what came between epochs
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "\r" not in lines[0]
    assert lines[0].startswith("epoch 1/3  loss 4  ") and lines[2].startswith("epoch 3/3  loss 12  ")
    assert lines[2].endswith("0:00:00 left")


@pytest.mark.parametrize("start", [0, 2])
def test_the_time_left_is_that_of_the_steps_left_at_the_speed_of_those_made(start, clock, monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: False, raising=False)
    clock.slow = 2.0
    run([Progress(3, BATCH), clock], epochs=3, start_step=start)
    assert capsys.readouterr().out.splitlines()[0].endswith("0:00:16 left")


def test_on_a_terminal_a_bar_is_drawn_over_itself_and_gives_way_to_the_line(clock, monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True, raising=False)
    clock.slow = 2.0
    run([clock, Progress(2, BATCH)], epochs=1)
    bars, line = capsys.readouterr().out.split(CLEAR)
    drawn = bars.split("\r")[1:]
    assert len(drawn) == STEPS and all(text.startswith("epoch 1/2 [") for text in drawn)
    assert f"2/{STEPS}  loss 2.0000  {BATCH / 2:.0f} images/s  0:00:12 left" in drawn[1]
    assert line.startswith("epoch 1/2  loss 4  ") and line.endswith("\n")


class Encoding(Counting):
    """A model of given representations, whose projections have a given z_std."""

    def __init__(self, encoder, spread):
        super().__init__()
        self.encoder, self.z_dim, self.spread = encoder, 16, spread

    def train_step(self, batch):
        return {**super().train_step(batch), "z_std": self.spread * even_z_std(self.z_dim)}


def test_health_is_measured_on_the_whole_sample():
    sample, seen = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32), Seen()
    data = tf.data.Dataset.range(STEPS)
    loop.fit(Encoding(lambda x, training: tf.constant(x) + 1, 0.9), data, 1, STEPS, callbacks=[Health(sample), seen])
    (logs,) = seen.epochs
    assert logs["effective_rank"] == pytest.approx(effective_rank(sample + 1), abs=1e-6)
    assert logs["rankme"] == pytest.approx(rankme(sample + 1), abs=1e-4)
    assert logs["feature_norm"] == pytest.approx(np.linalg.norm(sample + 1, axis=1).mean(), rel=1e-5)
    assert logs["uniformity"] == pytest.approx(uniformity(sample + 1), abs=1e-6) and "alignment" not in logs


class Spoiled(keras.callbacks.Callback):
    """Says of two steps that they were taken back."""

    def on_train_batch_end(self, batch, logs=None):
        logs["skipped"] = float(batch in (1, 2))


def test_so_many_steps_may_be_taken_back_and_are_counted_over_the_run():
    (logs,) = run([Spoiled(), StopWhenNotFinite(skippable=3, skipped=1)], epochs=1)
    assert logs["skipped_steps"] == 3 and "skipped" not in logs
    with pytest.raises(DivergedError, match="at step 3, 2 times by now: training has diverged"):
        run([Spoiled(), StopWhenNotFinite(skippable=1)])


@pytest.mark.parametrize("settings", [{}, {"steps_per_execution": 3}, {"as": iter}])
def test_waiting_for_data_is_a_share_of_the_training_time(settings):
    def slow(number):
        time.sleep(0.05)
        return number

    def batches():
        stream = tf.data.Dataset.range(3 * STEPS)
        return stream.map(lambda n: tf.numpy_function(slow, [n], tf.int64))

    (_, waits) = waited(batches(), **settings)
    assert waits > 0.4
    (_, waits) = waited(tf.data.Dataset.range(3 * STEPS).cache(), **settings)
    assert waits < 0.3


def waited(data, **settings):
    """`data_wait` of the first and the second epoch."""
    seen = Seen()
    data = settings.pop("as", lambda x: x)(data)
    loop.fit(Slow(), data, epochs=2, steps_per_epoch=STEPS, callbacks=[Resources(), seen], **settings)
    assert all(0 < logs["peak_memory_bytes"] < 2**40 for logs in seen.epochs)
    return [logs["data_wait"] for logs in seen.epochs]


class Slow(Counting):
    """A step that takes 20 ms."""

    def train_step(self, batch):
        slept = tf.numpy_function(lambda number: (time.sleep(0.02), number)[1], [batch], tf.int64)
        with tf.control_dependencies([slept]):
            return super().train_step(batch)


def test_a_score_is_measured_every_so_often_and_at_the_end():
    scores = iter([0.1, 0.2, 0.3])
    found = run([Score(lambda: {"knn": next(scores)}, every=2, epochs=5)], epochs=5)
    assert [logs.get("knn") for logs in found] == [None, 0.1, None, 0.2, 0.3]


def test_metrics_are_a_line_for_each_epoch_behind_those_of_before(tmp_path):
    path, history = tmp_path / "metrics.jsonl", [{"epoch": 1, "loss": 9.0}]
    run([MetricsLog(str(path), history)], epochs=3, start_step=STEPS)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == history
    rate = {"learning_rate": 0.5}
    assert lines[1:] == [{"epoch": n, "step": 4 * n, "loss": 4.0 * n, **rate} for n in (2, 3)]


@pytest.mark.parametrize(
    "every, slow, saved",
    [
        ((2, "epochs"), 2.0, [8, 16, 20]),
        ((9, "epochs"), 2.0, [20]),
        ((1, "minutes"), 25.0, [3, 6, 9, 12, 15, 18, 20]),  # after steps 3, 6, ...: more than a minute since the last
        ((60, "minutes"), 25.0, [20]),
    ],
)
def test_the_state_is_saved_when_it_is_time_and_at_the_end(every, slow, saved, monkeypatch):
    from ssl_keras.training import saving

    steps, now = [], [0.0]
    monkeypatch.setattr(saving, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    class Slow(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            now[0] += slow

    run([Slow(), SaveCheckpoints(steps.append, every, 5, types.SimpleNamespace(received=None))], epochs=5)
    assert steps == saved


@pytest.mark.parametrize("batch, epochs", [(1, 0), (3, 1)])
def test_a_signal_saves_after_its_step_and_at_an_epochs_end_after_its_metrics(batch, epochs, tmp_path):
    steps, signals, seen = [], types.SimpleNamespace(received=None), Seen()

    class Told(keras.callbacks.Callback):
        def on_train_batch_begin(self, number, logs=None):
            if number == batch:
                signals.received = "SIGTERM"

    with pytest.raises(Interrupted, match=f"SIGTERM after step {batch + 1}, which is saved"):
        run([Told(), seen, SaveCheckpoints(steps.append, (9, "epochs"), 5, signals)], epochs=5)
    assert steps == [batch + 1] and len(seen.epochs) == epochs
