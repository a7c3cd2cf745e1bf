import keras
import numpy as np
import pytest

from ssl_keras.training.checkpoints import Checkpoints, Position


def trained(seed=0, steps=3, hidden=("first", "second")):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(3, name=name) for name in hidden]
    layers += [keras.layers.BatchNormalization(name="norm"), keras.layers.Dense(2, name="last")]
    model = keras.Sequential(layers, name="model")
    model.build((None, 3))
    model.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9), loss="mse")
    model.optimizer.build(model.trainable_variables)
    if steps:
        x = np.random.default_rng(seed).normal(size=(8 * steps, 3)).astype(np.float32)
        model.fit(x, x[:, :2], batch_size=8, epochs=1, shuffle=False, verbose=0)
    return model


def state(model):
    return [keras.ops.convert_to_numpy(v) for v in (*model.weights, *model.optimizer.variables)]


def assert_same(a, b):
    for x, y in zip(state(a), state(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_everything_comes_back_bit_for_bit(tmp_path):
    model, history = trained(), [{"epoch": 1, "loss": 0.5}]
    position = Position(step=3, history=history, bad=[7], seconds=1.5, skipped=2)
    Checkpoints(tmp_path).save(model, position)
    other = trained(seed=5, steps=0)
    assert Checkpoints(tmp_path).restore(other) == position
    assert_same(model, other)
    assert int(other.optimizer.iterations) == 3


def test_without_a_checkpoint_a_run_starts_at_the_beginning(tmp_path):
    assert Checkpoints(tmp_path / "none").restore(trained(steps=0)) == Position()


@pytest.mark.parametrize("damage", ["truncate", "flip", "no manifest", "empty manifest", "flip manifest"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage, caplog):
    first, second = trained(seed=1), trained(seed=2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(first, Position(1))
    checkpoints.save(second, Position(2))
    newest = tmp_path / "step_00000002"
    content = bytearray((newest / "state.npz").read_bytes())
    if damage == "truncate":
        (newest / "state.npz").write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        (newest / "state.npz").write_bytes(content)
    elif damage == "flip manifest":
        text = (newest / "manifest.json").read_text()
        (newest / "manifest.json").write_text(text.replace('"skipped": 0', '"skipped": 9'))
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        (newest / "manifest.json").write_text("")
    restored = trained(seed=9, steps=0)
    assert checkpoints.restore(restored).step == 1
    assert_same(first, restored)


def test_the_last_ones_are_kept(tmp_path):
    model, checkpoints = trained(), Checkpoints(tmp_path, keep=2)
    for epoch in range(1, 5):
        checkpoints.save(model, Position(epoch))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_00000003", "step_00000004"]


def test_a_half_written_checkpoint_is_not_seen(tmp_path):
    model, checkpoints = trained(), Checkpoints(tmp_path)
    checkpoints.save(model, Position(1))
    (tmp_path / ".writing-0-step_00000002").mkdir()
    assert checkpoints.restore(trained(seed=3, steps=0)).step == 1


def test_the_same_variables_in_another_order_are_refused_in_words(tmp_path):
    Checkpoints(tmp_path).save(trained(), Position(1))
    with pytest.raises(ValueError, match=r"first to differ is model/first/kernel \[3, 3\], where model/second/k"):
        Checkpoints(tmp_path).restore(trained(steps=0, hidden=("second", "first")))


def test_another_architecture_is_refused_in_words(tmp_path):
    Checkpoints(tmp_path).save(trained(), Position(1))
    other = keras.Sequential([keras.layers.Dense(7)])
    other.build((None, 3))
    other.compile(optimizer="sgd")
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(ValueError, match="do not fit"):
        Checkpoints(tmp_path).restore(other)
