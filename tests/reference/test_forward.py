"""The oracle's forward pass against a loop over single numbers, written from the definition once more."""

import math

import numpy as np
import pytest

from normwise import reference
from normwise.errors import ArgumentError, MaskError, ShapeError

SHAPES = [(5, 3), (4, 3, 6), (3, 2, 4, 5), (2, 2, 3, 2, 3)]
EPS = 1e-3


def naive(x, weight, bias, mask, residual, mean=None, var=None):
    """Value by value. Returns the output, and mean and variance (biased, unbiased) of each channel."""
    output = np.zeros_like(x)
    means, biased, unbiased = [], [], []
    for c in range(x.shape[1]):
        positions = [i for i in np.ndindex(x.shape) if i[1] == c and (mask is None or mask[i[:1] + i[2:]])]
        values = [x[i] for i in positions]
        m = len(values)
        mu = math.fsum(values) / m
        squares = math.fsum((v - mu) ** 2 for v in values)
        means.append(mu)
        biased.append(squares / m)
        unbiased.append(squares / (m - 1))
        by_mean = mu if mean is None else mean[c]
        by_var = biased[-1] if var is None else var[c]
        for i in positions:
            output[i] = weight[c] * (x[i] - by_mean) / math.sqrt(by_var + EPS) + bias[c]
            if residual is not None:
                output[i] += residual[i]
    return output, np.array(means), np.array(biased), np.array(unbiased)


def case(shape, masked, with_residual):
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, shape)
    mask = rng.random((shape[0], *shape[2:])) < 0.6 if masked else None
    return {
        "x": x,
        "weight": rng.normal(size=shape[1]),
        "bias": rng.normal(size=shape[1]),
        "mask": mask,
        "residual": rng.normal(size=shape) if with_residual else None,
    }


@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_training_is_the_definition_value_by_value(shape, masked, with_residual):
    given = case(shape, masked, with_residual)
    output, mean, var, _ = naive(**given)
    result = reference.batch_norm(**given, training=True, eps=EPS)
    np.testing.assert_allclose(result.output, output, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(result.var, var, rtol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_evaluation_normalises_with_the_running_statistics(masked):
    given = case((4, 3, 6), masked, with_residual=True)
    running_mean, running_var = np.array([1.0, -2.0, 0.5]), np.array([4.0, 0.25, 1.0])
    output, *_ = naive(**given, mean=running_mean, var=running_var)
    result = reference.batch_norm(**given, running_mean=running_mean, running_var=running_var, eps=EPS)
    np.testing.assert_allclose(result.output, output, rtol=1e-12, atol=1e-12)
    assert result.running_mean is not None
    assert result.running_var is not None
    np.testing.assert_array_equal(result.running_mean, running_mean)
    np.testing.assert_array_equal(result.running_var, running_var)


@pytest.mark.parametrize("masked", [False, True])
def test_running_statistics_move_by_the_unbiased_variance(masked):
    given = case((4, 3, 6), masked, with_residual=False)
    _, mean, _, unbiased = naive(**given)
    old_mean, old_var = np.array([1.0, -2.0, 0.5]), np.array([4.0, 0.25, 1.0])
    result = reference.batch_norm(
        **given, running_mean=old_mean, running_var=old_var, training=True, momentum=0.3
    )
    assert result.running_mean is not None
    assert result.running_var is not None
    np.testing.assert_allclose(result.running_mean, 0.7 * old_mean + 0.3 * mean, rtol=1e-12)
    np.testing.assert_allclose(result.running_var, 0.7 * old_var + 0.3 * unbiased, rtol=1e-12)
    # The arrays that were given stay the caller's.
    np.testing.assert_array_equal(old_mean, [1.0, -2.0, 0.5])
    np.testing.assert_array_equal(old_var, [4.0, 0.25, 1.0])


@pytest.mark.parametrize("real", [[], [2]], ids=["none", "one"])
def test_fewer_than_two_real_positions_keep_the_running_statistics(real):
    mask = np.isin(np.arange(4), real)
    result = reference.batch_norm(
        np.arange(8.0).reshape(4, 2), [1.0, 2.0], [3.0, 4.0], bias=[5.0, 6.0], training=True, mask=mask
    )
    np.testing.assert_array_equal(result.running_mean, [1.0, 2.0])
    np.testing.assert_array_equal(result.running_var, [3.0, 4.0])
    np.testing.assert_array_equal(result.output, np.where(mask[:, None], [5.0, 6.0], 0.0))


def test_padding_may_hold_anything():
    given = case((3, 2, 4), masked=True, with_residual=True)
    clean = reference.batch_norm(**given, training=True)
    padding = ~given["mask"][:, None, :]
    given["x"] = np.where(padding, np.nan, given["x"])
    given["residual"] = np.where(padding, np.inf, given["residual"])
    np.testing.assert_array_equal(reference.batch_norm(**given, training=True).output, clean.output)


@pytest.mark.parametrize("offset", [1e6, 1e12])
def test_variance_keeps_its_digits_where_the_mean_is_far_larger(offset):
    # Quarters are exact in float64 beside 1e12, so the true variance is known; without its correction
    # term the two-pass variance would miss it by the rounding of the mean, squared.
    values = np.array([0.25, 0.5, 1.75, 3.0, 4.25])
    mean, var, count = reference.batch_statistics(offset + values[:, None])
    np.testing.assert_allclose(mean, offset + values.mean(), rtol=1e-15)
    np.testing.assert_allclose(var, values.var(), rtol=1e-13)
    assert count == 5


def test_one_value_per_channel_is_an_error_in_training_only():
    with pytest.raises(ShapeError, match=r"one value per channel has no variance: shape \(1, 3\)"):
        reference.batch_norm(np.ones((1, 3)), training=True)
    result = reference.batch_norm(np.ones((1, 3)), np.zeros(3), np.ones(3), eps=0.0)
    np.testing.assert_array_equal(result.output, np.ones((1, 3)))


def test_evaluation_without_running_statistics_is_an_error():
    with pytest.raises(ArgumentError, match="evaluation needs running_mean and running_var"):
        reference.batch_norm(np.ones((2, 3)), running_mean=np.zeros(3))


@pytest.mark.parametrize("mask", [np.ones((2, 3), dtype=bool), np.ones(2)], ids=["shape", "type"])
def test_wrong_mask_is_an_error(mask):
    with pytest.raises(MaskError, match=r"expected a boolean mask of shape \(2,\)"):
        reference.batch_norm(np.ones((2, 3)), training=True, mask=mask)


def test_unknown_activation_is_an_error():
    with pytest.raises(ArgumentError, match="unknown activation 'swash'; known are relu, "):
        reference.batch_norm(np.ones((2, 3)), training=True, activation="swash")
