"""Precision where it is lost easily: a mean far above the deviation, constants, extreme scales."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from normwise import functional, reference

EPS32 = float(np.finfo(np.float32).eps)
MEANS = st.one_of(st.just(0.0), st.floats(-1e6, 1e6))
STDS = st.sampled_from([0.0, 1e-3, 1.0, 100.0])
SEEDS = st.integers(0, 2**32 - 1)


def batch(seed, mean, std):
    """A float32 batch of random shape, and a mask with two real positions or more."""
    rng = np.random.default_rng(seed)
    n, channels, length = int(rng.integers(2, 7)), int(rng.integers(1, 4)), int(rng.integers(1, 6))
    x = (rng.normal(size=(n, channels, length)) * std + mean).astype(np.float32)
    mask = rng.random((n, length)) < 0.7
    mask.flat[:2] = True
    return x, mask, rng.normal(size=x.shape).astype(np.float32)


def run(function, x, grad_output, **options):
    leaf = torch.from_numpy(x).requires_grad_()
    output = function(leaf, None, None, training=True, **options)
    output.backward(torch.from_numpy(grad_output))
    assert leaf.grad is not None
    return output.detach().double().numpy(), leaf.grad.double().numpy()


# The bounds are tight, so the examples are the same in every run: no rare one shall fail another's change.
@settings(deadline=None, max_examples=50, derandomize=True)
@given(SEEDS, MEANS, STDS)
def test_masked_error_is_a_few_units_whatever_the_mean_and_never_above_torchs_by_more(seed, mean, std):
    x, mask, grad_output = batch(seed, mean, std)
    exact = reference.batch_norm(x, training=True, mask=mask)
    exact_gradient = reference.batch_norm_backward(exact, grad_output).x
    output, gradient = run(functional.batch_norm, x, grad_output, mask=torch.from_numpy(mask))

    def real(values):
        return np.moveaxis(values, 1, -1)[mask]

    # torch knows no mask, so it gets the real positions alone: (N·L, C).
    by_torch = run(F.batch_norm, real(x), real(grad_output))
    unit = EPS32 * max(1.0, np.abs(exact.output).max())
    unit_of_gradient = EPS32 * np.abs(exact.inv_std).max() * max(1.0, np.abs(grad_output).max())
    for got, torchs, wanted, ulp, allowance in [
        (output, by_torch[0], exact.output, unit, 1),
        # Sums of three more products.
        (gradient, by_torch[1], exact_gradient, unit_of_gradient, 2),
    ]:
        error = np.abs(got - wanted).max()
        assert error <= 4 * ulp
        assert error <= np.abs(torchs - real(wanted)).max() + allowance * ulp


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SEEDS, MEANS, STDS)
def test_unmasked_error_is_a_few_units_whatever_the_mean(implementation, seed, mean, std):
    x, _, grad_output = batch(seed, mean, std)
    exact = reference.batch_norm(x, training=True)
    output, gradient = run(functional.batch_norm, x, grad_output)
    assert np.abs(output - exact.output).max() <= 4 * EPS32 * max(1.0, np.abs(exact.output).max())
    unit = EPS32 * np.abs(exact.inv_std).max() * max(1.0, np.abs(grad_output).max())
    assert np.abs(gradient - reference.batch_norm_backward(exact, grad_output).x).max() <= 8 * unit


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.floats(-1e6, 1e6, width=32))
def test_masked_constant_channel_becomes_its_bias(seed, value):
    x, mask, _ = batch(seed, value, 0.0)
    running_var = torch.ones(x.shape[1])
    output = functional.batch_norm(
        torch.from_numpy(x),
        torch.zeros(x.shape[1]),
        running_var,
        bias=torch.full((x.shape[1],), 0.25),
        training=True,
        momentum=1.0,
        mask=torch.from_numpy(mask),
    )
    np.testing.assert_allclose(output.numpy(), np.where(mask[:, None], 0.25, np.zeros_like(x)), atol=4e-6)
    np.testing.assert_allclose(running_var.numpy(), 0.0, atol=1e-10)


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.integers(-40, 60), st.booleans())
def test_scale_of_the_input_scales_nothing_else(seed, exponent, masked):
    # By a power of two, which rounds nothing; its square, the variance, stays within float32's range.
    # An eps that scales along makes the problem exactly the same one.
    x, mask, grad_output = batch(seed, 0.5, 1.0)
    scale = 2.0**exponent
    options = {"mask": torch.from_numpy(mask) if masked else None}
    plain = run(functional.batch_norm, x, grad_output, eps=2.0**-20, **options)
    scaled = run(
        functional.batch_norm, x * np.float32(scale), grad_output, eps=2.0**-20 * scale**2, **options
    )
    np.testing.assert_allclose(scaled[0], plain[0], rtol=0, atol=2 * EPS32 * np.abs(plain[0]).max())
    np.testing.assert_allclose(scaled[1] * scale, plain[1], rtol=0, atol=2 * EPS32 * np.abs(plain[1]).max())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_low_precision_accumulates_in_float32(dtype):
    # The sum of 2048 values is beyond float16's range, their count beyond bfloat16's integers.
    x = torch.full((512, 1, 4), 300.0, dtype=dtype)
    x[::2] += 16
    mask = torch.ones(512, 4, dtype=torch.bool)
    mean, var = torch.zeros(1), torch.ones(1)
    exact = reference.batch_norm(x.double().numpy(), [0.0], [1.0], training=True, momentum=1.0)
    output = functional.batch_norm(x, mean, var, training=True, momentum=1.0, mask=mask)
    assert exact.running_mean is not None
    assert exact.running_var is not None
    np.testing.assert_allclose(output.double().numpy(), exact.output, atol=torch.finfo(dtype).eps)
    np.testing.assert_allclose(mean.numpy(), exact.running_mean, rtol=1e-6)
    np.testing.assert_allclose(var.numpy(), exact.running_var, rtol=1e-5)


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.floats(1e5, 1e6))
def test_running_statistics_are_the_oracles_with_a_large_mean(seed, mean):
    x, mask, _ = batch(seed, mean, 1.0)
    exact = reference.batch_norm(
        x, np.zeros(x.shape[1]), np.ones(x.shape[1]), training=True, momentum=1.0, mask=mask
    )
    assume(exact.var.min() > 1e-3)
    running_mean, running_var = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    functional.batch_norm(
        torch.from_numpy(x),
        running_mean,
        running_var,
        training=True,
        momentum=1.0,
        mask=torch.from_numpy(mask),
    )
    assert exact.running_mean is not None
    assert exact.running_var is not None
    np.testing.assert_allclose(running_mean.numpy(), exact.running_mean, rtol=EPS32)
    np.testing.assert_allclose(running_var.numpy(), exact.running_var, rtol=8 * EPS32)
