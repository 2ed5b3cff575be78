"""Models with the layer, trained by `fit`, compiled or not, and by loops written by hand."""

from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.xla import FASTER

_X = np.random.default_rng(0).standard_normal((20, 6, 6, 2)).astype("float32") * 3 + 5
_Y = np.arange(20) % 2


def _model(**settings: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(3, 3, use_bias=False),
            BatchNormalization(**settings),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )


def _compiled(model: Any, jit_compile: bool = FASTER) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss, jit_compile=jit_compile)
    return model


@pytest.mark.parametrize(
    ("jit_compile", "settings"),
    [
        (False, {}),
        (True, {"virtual_batch_size": 4, "activation": "relu", "dtype": "mixed_bfloat16"}),
        (True, {"renorm": True, "momentum": None}),
    ],
)
def test_fit_evaluate_and_predict_work_with_and_without_compilation(jit_compile: bool, settings: Any) -> None:
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch.compile takes long: a test of its own compiles less")
    model = _compiled(_model(**settings), jit_compile)
    # A last batch that is smaller than the others, and odd.
    model.fit(_X[:19], _Y[:19], batch_size=10, epochs=1, verbose=0)
    layer = model.layers[1]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert (np.abs(ops.convert_to_numpy(layer.moving_mean)) > 1e-3).all()
    loss = model.evaluate(_X, _Y, verbose=0)
    predicted = model.predict(_X, verbose=0).astype("float32")
    expected = ops.convert_to_numpy(ops.cast(model(_X), "float32"))
    np.testing.assert_allclose(predicted, expected, atol=1e-4 if model.compute_dtype == "float32" else 0.05)
    wanted = keras.losses.sparse_categorical_crossentropy(_Y, expected, from_logits=True)
    np.testing.assert_allclose(loss, ops.convert_to_numpy(wanted).mean(), rtol=0.02)


def test_fit_trains_as_keras_own_layer_does() -> None:
    ours = _model(momentum=0.8)
    theirs: Any = keras.Sequential(
        [keras.Input((6, 6, 2)), keras.layers.Conv2D(3, 3, use_bias=False),
         keras.layers.BatchNormalization(momentum=0.8), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    )  # fmt: skip
    theirs.set_weights(ours.get_weights())
    for model in (ours, theirs):
        _compiled(model).fit(_X, _Y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4)


def test_a_frozen_layer_stays_as_it_is_in_fit() -> None:
    model = _model()
    layer = model.layers[1]
    layer.trainable = False
    before = layer.get_weights()
    others = model.layers[-1].get_weights()
    _compiled(model).fit(_X, _Y, batch_size=10, verbose=0)
    for was, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    assert not np.array_equal(others[0], model.layers[-1].get_weights()[0])


def test_moving_statistics_become_those_of_the_data_in_fit() -> None:
    x = np.random.default_rng(1).normal(10, 5, (60, 4)).astype("float32")
    model: Any = keras.Sequential([keras.Input((4,)), BatchNormalization(momentum=0.5)])
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=FASTER)
    model.fit(x, x, batch_size=60, epochs=15, verbose=0)
    layer = model.layers[0]
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), x.mean(0), rtol=1e-3)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), x.var(0), rtol=1e-3)


def test_the_stateless_call_returns_the_new_state_and_changes_nothing() -> None:
    layer: Any = BatchNormalization(momentum=0.5, renorm=True)
    layer.build((None, 3))
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32") + 1
    before = layer.get_weights()
    trainable, others = layer.trainable_variables, layer.non_trainable_variables
    y, after = layer.stateless_call(trainable, others, ops.convert_to_tensor(x), training=True)
    for was, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x, training=True)), ops.convert_to_numpy(y))
    for variable, value in zip(others, after, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), ops.convert_to_numpy(value))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="a training step of JAX")
def test_a_training_step_written_by_hand_in_jax() -> None:
    import jax

    model = _model(momentum=0.5)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss(trainable: Any, state: Any, x: Any, y: Any) -> Any:
        output, state = model.stateless_call(trainable, state, x, training=True)
        return loss_of(y, output), state

    @jax.jit
    def step(trainable: Any, state: Any, x: Any, y: Any) -> Any:
        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, state, x, y)
        return value, [w - 0.1 * g for w, g in zip(trainable, gradients, strict=True)], state

    trainable = [variable.value for variable in model.trainable_variables]
    state = [variable.value for variable in model.non_trainable_variables]
    values = []
    for _ in range(10):
        value, trainable, state = step(trainable, state, _X, _Y)
        values.append(float(value))
    assert values[-1] < values[0]
    # What the convolution learnt last moved the statistics half of the way at least.
    model.layers[0].kernel.assign(trainable[0])
    mean = ops.convert_to_numpy(model.layers[0](_X)).mean((0, 1, 2))
    np.testing.assert_allclose(np.asarray(state[0]), mean, rtol=0.2, atol=0.5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a training step of TensorFlow")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_training_step_written_by_hand_in_tensorflow(jit_compile: bool) -> None:
    import tensorflow as tf

    model = _model(momentum=0.5)
    optimizer = keras.optimizers.SGD(0.1)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(jit_compile=jit_compile)
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value: Any = loss_of(y, model(x, training=True))
        optimizer.apply_gradients(
            zip(tape.gradient(value, model.trainable_weights), model.trainable_weights, strict=True)
        )
        return value

    values = [float(step(_X, _Y)) for _ in range(10)]
    assert values[-1] < values[0]
    assert not np.allclose(ops.convert_to_numpy(model.layers[1].moving_mean), 0)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a training step of torch")
def test_a_training_step_written_by_hand_in_torch() -> None:
    import torch

    model = _model(momentum=0.5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = torch.from_numpy(_X), torch.from_numpy(_Y)
    values = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x, training=True), y)
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0]
    assert not np.allclose(ops.convert_to_numpy(model.layers[1].moving_mean), 0)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch.compile")
@pytest.mark.parametrize("training", [False, True])
def test_torch_compiles_the_layer_in_one_graph(training: bool) -> None:
    import torch

    layer, eager = (BatchNormalization(momentum=0.5, activation="relu") for _ in range(2))
    for each in (layer, eager):
        each.build((None, 3))
    x = torch.from_numpy(_X.reshape(-1, 3))

    # What is traced is compiled by Inductor as any other graph; tracing is where the layer may fail.
    compiled = torch.compile(lambda x: layer(x, training=training), backend="aot_eager")
    for _ in range(2):
        np.testing.assert_allclose(
            ops.convert_to_numpy(compiled(x)), ops.convert_to_numpy(eager(x, training=training)), atol=1e-5
        )
    for mine, other in zip(layer.get_weights(), eager.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)
