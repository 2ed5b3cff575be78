"""The layer against the definition in float64, with masks for any arrangement of axes."""

from typing import Any

import numpy as np
import pytest

from normwise import reference
from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.calls import compiled
from tests.support.keras.xla import AS_BY_DEFAULT

#: Shapes, and the axis of the channels.
_SHAPES = [((6, 3), -1), ((6, 3), 1), ((5, 7, 2), -1), ((5, 2, 7), 1), ((4, 3, 5, 2), -1), ((4, 2, 3, 5), 1),
           ((2, 3, 2, 4, 3), -1), ((2, 3, 4, 2, 3), 1), ((4, 3, 5), 0), ((5, 7, 1), -1)]  # fmt: skip


def _input(shape: tuple[int, ...], mean: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(shape) * 2 + mean).astype("float32")


def _channels_second(x: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(x, axis, 1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("shape", "axis"), _SHAPES)
def test_output_and_moving_statistics_are_the_definitions(
    shape: tuple[int, ...], axis: int, masked: bool
) -> None:
    x = _input(shape)
    layer: Any = BatchNormalization(axis=axis, momentum=0.75, unbiased_moving_variance=True)
    layer.build(shape)
    channels = shape[axis]
    gamma, beta = np.linspace(0.5, 2, channels), np.linspace(-1, 1, channels)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    mask = None
    if masked:
        mask = (
            np.random.default_rng(1).random([n for a, n in enumerate(shape) if a != axis % len(shape)]) > 0.4
        )
    y = _channels_second(compiled(layer, True, AS_BY_DEFAULT)(x, mask=mask), axis)
    expected: Any = reference.batch_norm(
        _channels_second(x, axis), np.zeros(channels), np.ones(channels), gamma, beta,
        training=True, momentum=0.25, eps=1e-3, mask=mask,
    )  # fmt: skip
    real = np.broadcast_to(expected.real, y.shape)
    np.testing.assert_allclose(y[real], expected.output[real], atol=2e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), expected.running_mean, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), expected.running_var, rtol=1e-5)


@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("parts", [None, 3])
def test_the_variance_keeps_its_digits_at_any_mean(mean: float, masked: bool, parts: int | None) -> None:
    x = _input((8, 50, 40, 3), mean)
    mask = np.ones(x.shape[:-1], bool) if masked else None
    layer: Any = BatchNormalization(momentum=0.0, virtual_batch_size=parts)
    y = compiled(layer, True, AS_BY_DEFAULT)(x, mask=mask)
    exact = x.astype("float64")
    variance = exact.var((0, 1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), variance, rtol=1e-4)
    if parts is None:
        np.testing.assert_allclose(y, (exact - exact.mean((0, 1, 2))) / np.sqrt(variance + 1e-3), atol=2e-3)


@pytest.mark.parametrize("distance", [1e2, 1e4])
def test_a_first_value_far_from_all_others_costs_a_small_part_of_a_deviation(distance: float) -> None:
    x = _input((8, 50, 40, 3), 5.0)
    x[0, 0, 0] += distance
    layer: Any = BatchNormalization(momentum=0.0)
    y = compiled(layer, True, AS_BY_DEFAULT)(x)
    exact = x.astype("float64")
    mean, variance = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    off = (ops.convert_to_numpy(layer.moving_mean) - mean) / np.sqrt(variance)
    np.testing.assert_allclose(off, np.zeros(3), atol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), variance, rtol=1e-4)
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(variance + 1e-3), rtol=1e-4, atol=1e-4)
