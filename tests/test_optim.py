"""Optimizers against the update rules of PyTorch and of the papers' code, written out in NumPy."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.optim import LARS_VARIANTS, OPTIMIZERS, LossScale, build_optimizer, schedule

RATES = (0.1, 0.2, 0.05)  # three steps of a changing learning rate: it matters where the rate enters
KERNEL = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
BIAS = np.array([0.5, -1.0, 2.0], "float32")
GRADIENTS = [np.random.default_rng(i).normal(size=(4, 3)).astype("float32") for i in (1, 2, 3)]


@keras.saving.register_keras_serializable(package="test")
class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """The rates of `RATES`, one step each."""

    def __call__(self, step):
        return tf.gather(tf.constant(RATES), tf.cast(step, tf.int32))

    def get_config(self):
        return {}


def variables():
    return keras.Variable(KERNEL, name="kernel"), keras.Variable(BIAS, name="bias")


def updated(optimizer):
    """Kernel and bias after three steps; the bias's gradient is the kernel's first row."""
    kernel, bias = variables()
    for gradient in GRADIENTS:
        optimizer.apply([tf.constant(gradient), tf.constant(gradient[0])], [kernel, bias])
    return kernel.numpy(), bias.numpy()


def sgd(w, gradients, decay, momentum=0.9, nesterov=False, lr_in_velocity=False, trust=lambda w, g: 1.0):
    """torch.optim.SGD, with LARS's trust ratio and TensorFlow's place of the learning rate as options."""
    w, v = w.astype("float64"), 0.0
    for lr, g in zip(RATES, gradients):
        g = trust(w, g) * (g + decay * w)
        if lr_in_velocity:
            v = momentum * v + lr * g
            w = w - v
        else:
            v = momentum * v + g
            w = w - lr * (g + momentum * v if nesterov else v)
    return w


def row(gradients):
    return [g[0] for g in gradients]


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_pytorchs_with_coupled_decay_on_everything(nesterov):
    kernel, bias = updated(build_optimizer("sgd", Rates(), weight_decay=0.1, nesterov=nesterov))
    np.testing.assert_allclose(kernel, sgd(KERNEL, GRADIENTS, 0.1, nesterov=nesterov), rtol=1e-5)
    np.testing.assert_allclose(bias, sgd(BIAS, row(GRADIENTS), 0.1, nesterov=nesterov), rtol=1e-5)


def test_lars_scales_kernels_and_leaves_biases_alone():
    def trust(w, g):
        return 1e-3 * np.linalg.norm(w) / np.linalg.norm(g + 0.1 * w)

    kernel, bias = updated(build_optimizer("lars", Rates(), weight_decay=0.1))
    np.testing.assert_allclose(kernel, sgd(KERNEL, GRADIENTS, 0.1, trust=trust), rtol=1e-5)
    np.testing.assert_allclose(bias, sgd(BIAS, row(GRADIENTS), 0.0), rtol=1e-5)

    kernel, bias = updated(build_optimizer("lars_simclr", Rates(), weight_decay=0.1))
    np.testing.assert_allclose(kernel, sgd(KERNEL, GRADIENTS, 0.1, trust=trust, lr_in_velocity=True), rtol=1e-5)
    np.testing.assert_allclose(bias, sgd(BIAS, row(GRADIENTS), 0.0, lr_in_velocity=True), rtol=1e-5)


def test_larc_excludes_nothing():
    def trust(w, g):
        return 1e-3 * np.linalg.norm(w) / (np.linalg.norm(g) + 0.1 * np.linalg.norm(w))

    kernel, bias = updated(build_optimizer("larc", Rates(), weight_decay=0.1))
    np.testing.assert_allclose(kernel, sgd(KERNEL, GRADIENTS, 0.1, trust=trust), rtol=1e-5)
    np.testing.assert_allclose(bias, sgd(BIAS, row(GRADIENTS), 0.1, trust=trust), rtol=1e-5)


@pytest.mark.parametrize("lr", [1e-4, 1.0])
def test_lars_clipped_steps_by_the_smaller_of_trust_and_learning_rate(lr):
    kernel, _ = updated(build_optimizer("lars_clipped", lr, weight_decay=0.1, momentum=0.0))
    w = KERNEL.astype("float64")
    for g in GRADIENTS:
        trust = 0.02 * np.linalg.norm(w) / (np.linalg.norm(g) + 0.1 * np.linalg.norm(w))
        w = w - min(trust, lr) * (g + 0.1 * w)
    np.testing.assert_allclose(kernel, w, rtol=1e-5)


@pytest.mark.parametrize("variant", LARS_VARIANTS)
def test_lars_steps_from_zero_weights_and_stands_still_at_zero_gradients(variant):
    zero, still = keras.Variable(np.zeros((2, 2), "float32")), keras.Variable(np.ones((2, 2), "float32"))
    build_optimizer(variant, 0.1).apply([tf.ones((2, 2)), tf.zeros((2, 2))], [zero, still])
    np.testing.assert_allclose(zero, -0.1 * np.ones((2, 2)), rtol=1e-6)  # trust ratio 1
    np.testing.assert_array_equal(still, np.ones((2, 2)))


def test_larc_leaves_weights_without_gradient_undecayed():
    still = keras.Variable(np.ones((2, 2), "float32"))
    build_optimizer("larc", 0.1, weight_decay=0.1).apply([tf.zeros((2, 2))], [still])
    np.testing.assert_array_equal(still, np.ones((2, 2)))


@pytest.mark.parametrize("variant", ["lars", "lars_simclr", "larc"])
def test_lars_does_not_depend_on_the_gradients_scale(variant):
    small, large = variables()[0], variables()[0]
    build_optimizer(variant, 0.1).apply([GRADIENTS[0]], [small])
    build_optimizer(variant, 0.1).apply([1000 * GRADIENTS[0]], [large])
    np.testing.assert_allclose(small, large, rtol=1e-5)


def test_adamw_is_pytorchs_without_decay_on_biases():
    kernel, bias = updated(build_optimizer("adamw", Rates(), weight_decay=0.1, momentum=0.9, beta_2=0.95))
    for result, start, gradients, decay in ((kernel, KERNEL, GRADIENTS, 0.1), (bias, BIAS, row(GRADIENTS), 0.0)):
        w, m, v = start.astype("float64"), 0.0, 0.0
        for t, (lr, g) in enumerate(zip(RATES, gradients), 1):
            w = w * (1 - lr * decay)
            m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
            w = w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
        np.testing.assert_allclose(result, w, rtol=1e-4)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_multipliers_scale_one_parameters_rate(name):
    _, slow = updated(build_optimizer(name, 0.1, lr_multipliers={"bias$": 0.5}))
    _, expected = updated(build_optimizer(name, 0.05))
    np.testing.assert_allclose(slow, expected, rtol=1e-5)
    kernel, _ = updated(build_optimizer(name, 0.1, lr_multipliers={"bias$": 0.5}))
    np.testing.assert_allclose(kernel, updated(build_optimizer(name, 0.1))[0], rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_constant_lr_paths_keep_the_peak(name):
    falling = schedule("cosine", 0.1, 256, 3)
    kernel, bias = updated(build_optimizer(name, falling, constant_lr_paths=("bias",)))
    np.testing.assert_allclose(bias, updated(build_optimizer(name, 0.1))[1], rtol=1e-5)
    np.testing.assert_allclose(kernel, updated(build_optimizer(name, falling))[0], rtol=1e-6)


def held_and_free(name, steps, jit_compile, wrap=lambda optimizer: optimizer, scale=1.0, held=3):
    """The optimizer, and kernel and bias before and after each of `steps` steps; the kernel is held in the first."""
    kernel, bias = variables()
    optimizer = wrap(build_optimizer(name, 0.1, weight_decay=0.1, held={"kernel": held}))
    optimizer.build([kernel, bias])

    @tf.function(jit_compile=jit_compile)
    def step(to_kernel, to_bias):
        optimizer.apply([scale * to_kernel, scale * to_bias], [kernel, bias])

    values = [(kernel.numpy(), bias.numpy())]
    for i in range(steps):
        step(GRADIENTS[i % 3], GRADIENTS[i % 3][0])
        values.append((kernel.numpy(), bias.numpy()))
    return optimizer, values


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_held_parameter_is_not_touched_and_then_starts_as_new(name, jit_compile):
    optimizer, values = held_and_free(name, 3, jit_compile)
    for before, after in itertools.pairwise(values):
        np.testing.assert_array_equal(after[0], KERNEL)
        assert np.any(after[1] != before[1])
    slots = [v for v in optimizer.variables if tuple(v.shape) == KERNEL.shape]
    assert slots
    for slot in slots:
        np.testing.assert_array_equal(slot, np.zeros(KERNEL.shape))
    _, values = held_and_free(name, 6, jit_compile)
    _, fresh = held_and_free(name, 3, jit_compile, held=0)  # the same three gradients, from the start
    for ours, expected in zip(values[3:], fresh):
        np.testing.assert_allclose(ours[0], expected[0], rtol=1e-6, atol=1e-7)


def test_adamws_first_steps_after_a_hold_are_no_longer_than_the_rate():
    """With a zero gradient in place of none they are up to five times that."""
    for held in (0, 10, 300):
        kernel = keras.Variable(KERNEL, name="kernel")
        optimizer = build_optimizer("adamw", 0.1, held={"kernel": held})
        optimizer.build([kernel])
        optimizer.iterations.assign(held)
        for _ in range(5):
            before = kernel.numpy()
            optimizer.apply([tf.constant(GRADIENTS[0])], [kernel])
            assert 0.95 * 0.1 < np.abs(kernel.numpy() - before).max() <= 1.05 * 0.1


def test_a_step_that_the_loss_scale_skips_counts_and_moves_nothing():
    optimizer, values = held_and_free("adamw", 4, False, LossScale, scale=2.0**15)
    assert int(optimizer.iterations) == 4
    np.testing.assert_array_equal(values[3][0], KERNEL)
    assert np.abs(values[4][0] - KERNEL * (1 - 0.1 * 0.1)).max() <= 1.05 * 0.1
    kernel, bias = variables()
    optimizer = LossScale(build_optimizer("adamw", 0.1, held={"kernel": 1}))
    moved = []
    for gradient in (np.inf * GRADIENTS[0], GRADIENTS[0]):
        optimizer.apply([tf.constant(gradient), tf.constant(gradient[0])], [kernel, bias])
        moved.append(np.abs(kernel.numpy() - KERNEL).max())
    assert int(optimizer.iterations) == 2
    assert moved[0] == 0.0 and 0 < moved[1] <= 1.05 * 0.1


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw", "muon"])
def test_two_replicas_hold_as_one(name, two_replicas):
    _, expected = held_and_free(name, 5, False)
    with two_replicas.scope():
        kernel, bias = variables()
        optimizer = build_optimizer(name, 0.1, weight_decay=0.1, held={"kernel": 3})
        optimizer.build([kernel, bias])

    @tf.function
    def step(gradient):  # each replica has half of it
        two_replicas.run(lambda g: optimizer.apply([g / 2, g[0] / 2], [kernel, bias]), args=(gradient,))

    for i in range(5):
        step(GRADIENTS[i % 3])
        np.testing.assert_allclose(kernel, expected[i + 1][0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(bias, expected[i + 1][1], rtol=1e-5, atol=1e-6)


def test_exclusion_by_path_and_by_dimension():
    everything = updated(build_optimizer("sgd", 0.1, weight_decay=0.5))
    no_kernel = updated(build_optimizer("sgd", 0.1, weight_decay=0.5, exclude=("kernel",)))
    no_bias = updated(build_optimizer("sgd", 0.1, weight_decay=0.5, exclude_1d=True))
    nothing = updated(build_optimizer("sgd", 0.1, weight_decay=0.0))
    for result, kernel, bias in ((no_kernel, nothing[0], everything[1]), (no_bias, everything[0], nothing[1])):
        np.testing.assert_array_equal(result[0], kernel)
        np.testing.assert_array_equal(result[1], bias)


def dense_model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="ones")])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_replicas_equal_one(name, two_replicas):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")

    def train(model, optimizer, strategy):
        def step(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(model(x) ** 2) / strategy.num_replicas_in_sync
            trainable = model.trainable_variables
            optimizer.apply(tape.gradient(loss, [v.value for v in trainable]), trainable)

        rows = 8 // strategy.num_replicas_in_sync
        share = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(x[context.replica_id_in_sync_group * rows :][:rows])
        )
        run = tf.function(lambda x: strategy.run(step, args=(x,)))
        for _ in range(3):
            run(share)
        return model.get_weights()

    def options():
        lr = schedule("cosine", 0.1, 256, 10)
        return {"learning_rate": lr, "weight_decay": 0.1, "constant_lr_paths": ("bias",)}

    model = dense_model()
    optimizer = build_optimizer(name, **options())
    optimizer.build(model.trainable_variables)
    alone = train(model, optimizer, tf.distribute.get_strategy())
    with two_replicas.scope():
        model = dense_model()
        optimizer = build_optimizer(name, **options())
        optimizer.build(model.trainable_variables)
    for one, two in zip(alone, train(model, optimizer, two_replicas)):
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=1e-6)


def apply_on_each_replica(strategy, optimizer, variable, gradients):
    """One step with a gradient of each replica's own."""
    with strategy.scope():
        optimizer.build([variable])
    own = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(gradients[context.replica_id_in_sync_group], tf.float32)
    )
    tf.function(lambda g: strategy.run(lambda g: optimizer.apply([g], [variable]), args=(g,)))(own)
    return variable.numpy()


def test_clipping_is_of_the_gradient_summed_over_the_replicas(two_replicas):
    with two_replicas.scope():
        variable = keras.Variable(np.zeros(2, np.float32))
        optimizer = build_optimizer("sgd", 1.0, clipnorm=1.0)
    moved = apply_on_each_replica(two_replicas, optimizer, variable, [[3.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(moved, [-0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize("where", [0, 1])
def test_an_overflow_on_one_replica_skips_the_step_on_all(where, two_replicas):
    with two_replicas.scope():
        variable = keras.Variable(np.zeros(2, np.float32))
        optimizer = LossScale(build_optimizer("sgd", 1.0), initial_scale=8.0)
    gradients = [[8.0, 8.0], [8.0, 8.0]]
    np.testing.assert_allclose(apply_on_each_replica(two_replicas, optimizer, variable, gradients), [-2.0, -2.0])
    gradients[where][0] = np.inf
    np.testing.assert_allclose(apply_on_each_replica(two_replicas, optimizer, variable, gradients), [-2.0, -2.0])
    assert float(keras.ops.convert_to_numpy(optimizer.dynamic_scale)) == 4.0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_run_goes_on_as_if_uninterrupted(name, tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    y = np.zeros((8, 3), "float32")
    optimizer = build_optimizer(
        name,
        schedule("cosine", 0.1, 256, 10, warmup_steps=2),
        weight_decay=0.1,
        exclude=("bias",),
        lr_multipliers={"bias": 0.5},
        constant_lr_paths=("kernel",),
        held={"kernel": 4},
    )
    model = dense_model()
    model.compile(optimizer=optimizer, loss="mse")
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == optimizer.get_config()
    assert int(again.optimizer.iterations) == 3
    for m in (model, again):
        m.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_it_trains_under_a_loss_scale():
    inner = build_optimizer("lars", 0.1, weight_decay=0.1)
    scaled = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
    kernel, _ = variables()
    scaled.apply([1024.0 * GRADIENTS[0]], [kernel])
    expected, _ = variables()
    build_optimizer("lars", 0.1, weight_decay=0.1).apply([GRADIENTS[0]], [expected])
    np.testing.assert_allclose(kernel, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "lamb"}, "sgd, lars, lars_simclr"),
        ({"name": "lars", "nesterov": True}, "belongs to the optimizer 'sgd'"),
        ({"name": "sgd", "weight_decay": -1.0}, "must not be negative"),
        ({"name": "sgd", "constant_lr_paths": ("predictor",)}, "made by `schedule`"),
    ],
)
def test_errors_say_what_is_expected(options, message):
    with pytest.raises(ValueError, match=message):
        build_optimizer(learning_rate=0.1, **options)


def test_a_pattern_that_fits_no_parameter_is_an_error():
    with pytest.raises(ValueError, match="'predicter' fits none of the parameters: kernel, bias"):
        build_optimizer("sgd", 0.1, lr_multipliers={"predicter": 2.0}).build(list(variables()))


def test_the_weight_decay_reaches_its_final_value_along_half_a_cosine():
    kernel = keras.Variable(np.ones((2, 2), np.float32))
    optimizer = build_optimizer("adamw", schedule("constant", 0.5, 256, 10), 0.04, final_weight_decay=0.4)
    for step in (0, 3, 5, 10):
        kernel.assign(np.ones((2, 2), np.float32))
        optimizer.build([kernel])
        optimizer.iterations.assign(step)
        optimizer.apply([tf.zeros((2, 2))], [kernel])
        decay = 0.4 - 0.36 * (np.cos(np.pi * step / 10) + 1) / 2
        np.testing.assert_allclose(kernel.numpy(), 1 - 0.5 * decay, rtol=1e-5)


def test_muon_steps_along_an_orthogonal_matrix_of_adams_size():
    rng = np.random.default_rng(0)
    kernel = keras.Variable(rng.normal(size=(3, 3, 4, 8)).astype(np.float32))
    bias = keras.Variable(rng.normal(size=8).astype(np.float32))
    before, bias_before = kernel.numpy(), bias.numpy()
    optimizer = build_optimizer("muon", 0.1, momentum=0.95)
    gradient = rng.normal(size=(3, 3, 4, 8)).astype(np.float32)
    optimizer.apply([tf.constant(gradient), tf.constant(np.ones(8, np.float32))], [kernel, bias])
    step = (before - kernel.numpy()).reshape(36, 8) / (0.1 * 0.2 * 36**0.5)
    u, _, vt = np.linalg.svd(gradient.reshape(36, 8), full_matrices=False)
    assert np.sum(step * (u @ vt)) / np.linalg.norm(step) / np.linalg.norm(u @ vt) > 0.97
    singular = np.linalg.svd(step, compute_uv=False)
    assert singular.min() > 0.6 and singular.max() < 1.3
    np.testing.assert_allclose(bias_before - bias.numpy(), 0.1, rtol=1e-3)  # Adam's first step


@pytest.mark.parametrize("shape", [(36, 24), (36, 8), (8, 36)])
@pytest.mark.parametrize("rank", [1, 8])
def test_muons_orthogonal_matrix_is_jordans_polynomial_of_the_singular_values(shape, rank):
    """In float64; long matrices iterate on their Gram matrix alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    muon = build_optimizer("muon", 0.1)
    u, singular, vt = np.linalg.svd(x, full_matrices=False)
    singular /= np.linalg.norm(x)
    for a, b, c in muon.STEPS:
        singular = a * singular + b * singular**3 + c * singular**5
    result = muon._orthogonal(tf.constant(x, tf.float32))
    np.testing.assert_allclose(result, (u * singular) @ vt, atol=1e-4)


def test_muon_leaves_wide_matrices_to_adamw_at_a_tenth_of_the_rate():
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=(1056, 1040)).astype(np.float32)
    muon, adamw, thin = (keras.Variable(np.zeros_like(gradient[:, :n])) for n in (1040, 1040, 8))
    build_optimizer("muon", 0.1).apply([tf.constant(gradient), tf.constant(gradient[:, :8])], [muon, thin])
    build_optimizer("adamw", 0.01).apply([tf.constant(gradient)], [adamw])
    np.testing.assert_allclose(muon.numpy(), adamw.numpy(), rtol=1e-6)
    assert np.abs(thin.numpy()).std() > 0.1 * np.abs(thin.numpy()).mean()  # not Adam's step of one size
