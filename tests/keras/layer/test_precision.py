"""Types of inputs and of the layer: computed in float32 at least, kept in float32, given as the policy says."""

from typing import Any

import keras
import numpy as np
import pytest
from keras.src import backend

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.calls import call


def _array(value: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(value, "float32")).astype("float64")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
@pytest.mark.parametrize("settings", [{}, {"virtual_batch_size": 4}, {"renorm": True, "renorm_clipping": {}}])
def test_half_precision_costs_one_rounding(policy: str, training: bool, settings: Any) -> None:
    layer: Any = BatchNormalization(dtype=policy, activation="relu", momentum=0.5, **settings)
    wide: Any = BatchNormalization(activation="relu", momentum=0.5, **settings)
    half = layer.compute_dtype
    random = np.random.default_rng(0)
    # A mean and squares that float16 would not hold.
    x, residual = (ops.cast(random.standard_normal((8, 5, 3)) * 300 + 600, half) for _ in range(2))
    got = call(layer, x, training, residual=residual)
    expected = call(wide, _array(x).astype("float32"), training, residual=_array(residual).astype("float32"))
    assert keras.backend.standardize_dtype(got.dtype) == half
    unit = 2.0**-11 if half == "float16" else 2.0**-8
    np.testing.assert_allclose(_array(got), expected, rtol=2 * unit, atol=2 * unit)
    kept = "float32" if policy.startswith("mixed") else half
    assert {weight.dtype for weight in layer.weights} == {kept}
    tolerance = 1e-4 if kept == "float32" else 4 * unit
    for mine, theirs in zip(layer.weights, wide.weights, strict=True):
        np.testing.assert_allclose(_array(mine), _array(theirs), rtol=tolerance)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has float64 after a change of its settings")
@pytest.mark.parametrize("settings", [{}, {"virtual_batch_size": 4}, {"renorm": True, "renorm_clipping": {}}])
def test_float64_is_computed_in_float64(settings: Any) -> None:
    x = np.random.default_rng(0).standard_normal((8, 5, 3)) + 1e6
    layer: Any = BatchNormalization(dtype="float64", momentum=0.0, **settings)
    y = layer(ops.convert_to_tensor(x, dtype="float64"), training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "float64"
    assert {weight.dtype for weight in layer.weights} == {"float64"}
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), x.mean((0, 1)), rtol=1e-15)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), x.var((0, 1)), rtol=1e-8)
    if not settings:
        expected = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-3)
        np.testing.assert_allclose(ops.convert_to_numpy(y), expected, atol=1e-8)


def test_integers_are_numbers() -> None:
    x = np.arange(12).reshape(4, 3)
    layer: Any = BatchNormalization()
    y = ops.convert_to_numpy(layer(x, training=True))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), atol=1e-5)


def test_statistics_keep_values_that_half_precision_has_not() -> None:
    layer: Any = BatchNormalization(dtype="mixed_float16")
    layer.build((1, 4, 4, 3))
    large = ops.full((3,), 70_000.0)
    with backend.AutocastScope("float16"):
        layer.moving_variance.assign(large)
        np.testing.assert_array_equal(ops.convert_to_numpy(layer.moving_variance.value), 70_000.0)


@pytest.mark.parametrize("masked", [False, True])
def test_a_large_mean_and_large_values_stay_finite(masked: bool) -> None:
    random = np.random.default_rng(0)
    for scale, mean in ((1.0, 1e4), (1e-3, 1.0), (1e15, 1e16)):
        x = (random.standard_normal((64, 16, 3)) * scale + mean).astype("float32")
        mask = np.ones((64, 16), bool) if masked else None
        layer: Any = BatchNormalization(momentum=0.0, epsilon=1e-12)
        y = call(layer, x, True, mask=mask)
        exact = x.astype("float64")
        np.testing.assert_allclose(
            ops.convert_to_numpy(layer.moving_variance), exact.var((0, 1)), rtol=1e-4, err_msg=str(scale)
        )
        np.testing.assert_allclose(y.std((0, 1)), 1, rtol=1e-3)


@pytest.mark.parametrize("shape", [(64, 3), (16, 8, 3)])
@pytest.mark.parametrize("first", [0.0, 1e6])
def test_a_first_sample_unlike_all_others_costs_no_digit(shape: tuple[int, ...], first: float) -> None:
    x = (np.random.default_rng(0).standard_normal(shape) + 1e4).astype("float32")
    x[0] = first
    layer: Any = BatchNormalization(momentum=0.0, epsilon=1e-12)
    y = call(layer, x, True)
    axes, exact = tuple(range(x.ndim - 1)), x.astype("float64")
    mean, variance = exact.mean(axes), exact.var(axes)
    error = (ops.convert_to_numpy(layer.moving_mean) - mean) / np.sqrt(variance)
    np.testing.assert_allclose(error, 0, atol=5e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), variance, rtol=1e-5)
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(variance), atol=2e-5)


def test_equal_values_have_no_variance_at_any_mean() -> None:
    layer: Any = BatchNormalization(momentum=0.0)
    y = call(layer, np.full((8, 5, 3), 12345.678, "float32"), True)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.moving_variance), 0)
    np.testing.assert_array_equal(y, 0)
