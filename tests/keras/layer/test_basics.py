"""The layer as any layer of Keras: built, called, with weights that are Keras's, trained and frozen."""

from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.layer_check import check_layer

_FIXED = {"rmax": 3.0, "rmin": 1 / 3, "dmax": 5.0}


@pytest.mark.parametrize(
    ("settings", "shape", "trainable", "others", "losses"),
    [
        ({}, (4, 3), 2, 2, 0),
        ({"center": False, "scale": False}, (4, 3), 0, 2, 0),
        ({"scale": False, "axis": 1}, (4, 3, 5), 1, 2, 0),
        ({"beta_regularizer": "l2", "gamma_regularizer": "l1"}, (2, 4, 4, 3), 2, 2, 2),
        ({"renorm": True, "renorm_clipping": {}}, (4, 3), 2, 5, 0),
        ({"renorm": True, "renorm_clipping": _FIXED, "renorm_momentum": 0.9}, (2, 4, 4, 3), 2, 5, 0),
        # The number of batches is a weight more: it is saved with the others.
        ({"renorm": True}, (4, 3), 2, 6, 0),
        ({"momentum": None, "unbiased_moving_variance": True}, (4, 3), 2, 3, 0),
        ({"virtual_batch_size": 2, "activation": "relu"}, (4, 5, 3), 2, 2, 0),
    ],
)  # fmt: skip
def test_the_layer_passes_the_checks_of_any_layer(
    settings: dict[str, Any], shape: tuple[int, ...], trainable: int, others: int, losses: int
) -> None:
    check_layer(settings, shape, trainable, others, losses)


@pytest.mark.parametrize("renorm", [False, True])
@pytest.mark.parametrize(("center", "scale"), [(True, True), (True, False), (False, True), (False, False)])
def test_weights_are_keras_own_in_names_order_and_shapes(center: bool, scale: bool, renorm: bool) -> None:
    settings: Any = {"center": center, "scale": scale, "renorm": renorm, "renorm_clipping": {}}
    ours, theirs = BatchNormalization(**settings), keras.layers.BatchNormalization(**settings)
    described = []
    for layer in (ours, theirs):
        layer.build((None, 4))
        described.append([(w.name, w.shape, w.dtype, w.trainable) for w in layer.weights])
        described[-1] += [[w.name for w in layer.trainable_weights]]
    assert described[0] == described[1]
    theirs.set_weights([np.random.default_rng(0).random(4) + 0.5 for _ in theirs.weights])
    ours.set_weights(theirs.get_weights())
    x = np.random.default_rng(1).standard_normal((5, 4)).astype("float32")
    for training in (False, True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours(x, training=training)),
            ops.convert_to_numpy(theirs(x, training=training)),
            atol=2e-5,
        )
    for ours_now, theirs_now in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(ours_now, theirs_now, rtol=1e-4)


def test_the_defaults_are_keras_own() -> None:
    ours, theirs = BatchNormalization().get_config(), keras.layers.BatchNormalization().get_config()
    shared = {key: value for key, value in theirs.items() if key != "name"}
    assert {key: ours[key] for key in shared} == shared


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("shape", [(5, 2, 3), (5, 3, 3, 2)])
@pytest.mark.parametrize("initial", ["zeros", "ones"])
def test_training_normalises_and_inference_does_the_same_when_momentum_is_0(
    axis: int, shape: tuple[int, ...], initial: str
) -> None:
    layer: Any = BatchNormalization(
        axis=axis, momentum=0, moving_mean_initializer=initial, moving_variance_initializer=initial
    )
    x = np.random.default_rng(0).normal(5, 10, shape)
    y = ops.convert_to_numpy(layer(x, training=True))
    rest = tuple(a for a in range(len(shape)) if a != axis % len(shape))
    np.testing.assert_allclose(y.mean(rest), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(rest), 1, atol=1e-3)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), x.mean(rest), rtol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), x.var(rest), rtol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), y, atol=1e-4)


def test_a_frozen_layer_infers_and_keeps_its_statistics_until_it_is_trainable_again() -> None:
    layer: Any = BatchNormalization(momentum=0.8, epsilon=1e-7)
    layer.build((None, 4, 4, 3))
    layer.trainable = False
    counts = len(layer.weights), len(layer.trainable_weights), len(layer.non_trainable_weights)
    assert counts == (4, 0, 4)
    x = np.random.default_rng(0).normal(5, 10, (50, 4, 4, 3)).astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x, training=True)), x, rtol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.moving_mean), 0)

    layer.trainable = True
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (2, 2)
    y = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), 0.2 * x.mean((0, 1, 2)), rtol=1e-4)


def test_training_is_none_by_default_and_that_is_inference() -> None:
    layer: Any = BatchNormalization()
    x = np.random.default_rng(0).normal(5, 10, (6, 3)).astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), x / np.sqrt(1.001), rtol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.moving_mean), 0)


def test_constraints_and_initializers_are_kept() -> None:
    layer: Any = BatchNormalization(
        beta_initializer=keras.initializers.Constant(2.0),
        gamma_initializer="zeros",
        gamma_constraint="non_neg",
        moving_mean_initializer=keras.initializers.Constant(3.0),
        moving_variance_initializer=keras.initializers.Constant(4.0),
        renorm=True,
    )
    layer.build((None, 2))
    values = {weight.name: ops.convert_to_numpy(weight).tolist() for weight in layer.weights}
    assert values == {
        "gamma": [0.0, 0.0],
        "beta": [2.0, 2.0],
        "moving_mean": [3.0, 3.0],
        "moving_variance": [4.0, 4.0],
        "moving_stddev": [2.0, 2.0],
        "renorm_mean": [3.0, 3.0],
        "renorm_stddev": [2.0, 2.0],
        "batches": 0,
    }
    assert layer.gamma.constraint is not None
