"""Moving statistics: momentum and the plain average, Bessel's correction, one value, none."""

from typing import Any

import numpy as np
import pytest

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.calls import compiled
from tests.support.keras.gradients import passes


def _batches() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [(random.standard_normal((6, 3)) * s + s).astype("float32") for s in (1, 2, 3)]


def _moving(layer: Any) -> list[np.ndarray]:
    return [ops.convert_to_numpy(weight) for weight in (layer.moving_mean, layer.moving_variance)]


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("renorm", [False, True])
def test_momentum_none_is_the_average_of_all_batches(unbiased: bool, renorm: bool) -> None:
    layer = BatchNormalization(momentum=None, unbiased_moving_variance=unbiased, renorm=renorm)
    batches, train = _batches(), compiled(layer, True)
    for x in batches:
        train(x)
    variances = np.array([x.astype("float64").var(0, ddof=int(unbiased)) for x in batches])
    # Renormalization averages deviations.
    variance = np.sqrt(variances + 1e-3).mean(0) ** 2 - 1e-3 if renorm else variances.mean(0)
    np.testing.assert_allclose(_moving(layer)[0], np.mean([x.mean(0) for x in batches], 0), rtol=1e-5)
    np.testing.assert_allclose(_moving(layer)[1], variance, rtol=1e-5)
    assert int(layer.batches) == 3


@pytest.mark.parametrize(("unbiased", "factor"), [(False, 1.0), (True, 6 / 5)])
def test_momentum_is_the_weight_of_what_was(unbiased: bool, factor: float) -> None:
    layer = BatchNormalization(momentum=0.75, unbiased_moving_variance=unbiased)
    mean, variance = np.zeros(3), np.ones(3)
    train = compiled(layer, True)
    for x in _batches():
        train(x)
        mean = 0.75 * mean + 0.25 * x.mean(0)
        variance = 0.75 * variance + 0.25 * x.var(0) * factor
    np.testing.assert_allclose(_moving(layer)[0], mean, rtol=1e-5)
    np.testing.assert_allclose(_moving(layer)[1], variance, rtol=1e-5)


@pytest.mark.parametrize("parts", [None, 2])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3)])
def test_one_value_per_channel_gives_beta_and_a_variance_of_0(
    shape: tuple[int, ...], unbiased: bool, parts: int | None
) -> None:
    layer: Any = BatchNormalization(
        momentum=0.5, beta_initializer="ones", unbiased_moving_variance=unbiased, virtual_batch_size=parts
    )
    layer.build(shape)
    x = np.full(shape, 4.0, "float32")
    got = passes(layer, x, np.ones_like(x), training=True)
    np.testing.assert_array_equal(got.output, 1)
    np.testing.assert_array_equal(got.x, 0)
    np.testing.assert_array_equal(_moving(layer), [[2.0] * 3, [0.5] * 3])


@pytest.mark.parametrize("parts", [None, 2])
@pytest.mark.parametrize("training", [False, True])
def test_an_empty_batch_is_empty_moves_nothing_and_has_gradients_of_0(
    training: bool, parts: int | None
) -> None:
    layer: Any = BatchNormalization(momentum=None, virtual_batch_size=parts)
    layer.build((None, 4, 3))
    before = layer.get_weights()
    x = np.zeros((0, 4, 3), "float32")
    got = passes(layer, x, x, training=training)
    assert got.output.shape == got.x.shape == (0, 4, 3)
    np.testing.assert_array_equal(got.weights, 0)
    for was, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
