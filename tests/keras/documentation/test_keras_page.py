"""The table "What is different" of docs/keras/layer.md: Keras's layer beside ours.

If Keras corrects its layer a test fails here, and the page must change.
"""

from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops

_BACKEND = keras.backend.backend()
_THEIRS = keras.layers.BatchNormalization


def _errors(layer: Any, mean: float) -> tuple[float, float]:
    """Return the largest relative error of the variance, and the largest mean of the output."""
    x = (np.random.default_rng(0).standard_normal((64, 32, 32, 8)) + mean).astype("float32")
    y = ops.convert_to_numpy(layer(x, training=True)).astype(float)
    true = x.astype(float).var((0, 1, 2))
    variance = ops.convert_to_numpy(layer.moving_variance)
    return float(np.abs(variance / true - 1).max()), float(np.abs(y.mean((0, 1, 2))).max())


def test_ours_keeps_the_digits_of_the_variance() -> None:
    variance, mean = _errors(BatchNormalization(momentum=0.0), 1e4)
    assert variance < 5e-6
    assert mean < 1e-6


#: Bounds of the error of the variance, and of the mean of the output, from the numbers of the page.
_MEASURED = {"tensorflow": (2e-4, 0.02), "jax": (1e-6, 0.003)}


@pytest.mark.skipif(_BACKEND != "torch", reason="on TensorFlow and JAX Keras's variance is right")
@pytest.mark.parametrize(("mean", "least", "most"), [(1e2, 1e-3, 2e-3), (1e3, 0.05, 0.2), (1e4, 5, np.inf)])
def test_keras_on_torch_loses_them(mean: float, least: float, most: float) -> None:
    variance, output = _errors(_THEIRS(momentum=0.0), mean)
    assert least < variance < most
    assert np.isnan(output) == (mean == 1e4)


@pytest.mark.skipif(_BACKEND == "torch", reason="another test has torch")
def test_keras_elsewhere_is_a_little_off() -> None:
    variance, output = _errors(_THEIRS(momentum=0.0), 1e4)
    most = _MEASURED[_BACKEND]
    assert variance < most[0]
    assert 1e-4 < output < most[1]


_MASK = np.arange(6) < np.array([[6], [3], [2], [1]])


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        pytest.param(
            (4, 6, 1),
            -1,
            marks=pytest.mark.skipif(_BACKEND == "tensorflow", reason="TensorFlow broadcasts that mask"),
        ),
        ((4, 5, 6), 1),
    ],
)
def test_keras_refuses_masks_that_ours_takes(shape: tuple[int, ...], axis: int) -> None:
    x = np.random.default_rng(0).normal(3, 2, shape).astype("float32")
    ours: Any = BatchNormalization(axis=axis, momentum=0.0)
    ours(x, training=True, mask=_MASK)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours.moving_mean), np.moveaxis(x, axis, -1)[_MASK].mean(0), rtol=1e-5
    )
    with pytest.raises(Exception, match="mask="):
        _THEIRS(axis=axis)(x, training=True, mask=ops.convert_to_tensor(_MASK))


def test_a_batch_that_is_masked_as_a_whole_moves_keras_statistics_only() -> None:
    x = np.random.default_rng(0).normal(3, 2, (4, 6, 5)).astype("float32")
    for kind, variance in ((BatchNormalization, 1.0), (_THEIRS, 0.9)):
        layer: Any = kind(momentum=0.9)
        layer(x, training=True, mask=ops.convert_to_tensor(_MASK & False))
        np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), variance, rtol=1e-6)


def test_keras_synchronizes_on_tensorflow_only() -> None:
    x = np.ones((4, 3), "float32")
    BatchNormalization(synchronized=True)(x, training=True)
    if _BACKEND == "tensorflow":
        _THEIRS(synchronized=True)
    else:
        with pytest.raises(ValueError, match="only supported with the TensorFlow backend"):
            _THEIRS(synchronized=True)


def test_a_training_of_5000_steps_with_the_default_schedule_is_plain() -> None:
    x = np.random.default_rng(0).normal(3, 2, (8, 4)).astype("float32")
    renorm: Any = BatchNormalization(renorm=True)
    renorm.build(x.shape)
    renorm.batches.assign(4_999)
    plain = ops.convert_to_numpy(BatchNormalization()(x, training=True))
    np.testing.assert_allclose(ops.convert_to_numpy(renorm(x, training=True)), plain, atol=1e-5)
    renorm.batches.assign(10_000)
    assert np.abs(ops.convert_to_numpy(renorm(x, training=True)) - plain).max() > 0.1
