"""The oracle's backward pass against central differences of its forward pass."""

import numpy as np
import pytest

from normwise import activations, reference

SHAPE = (4, 3, 2)
STEP = 1e-5
KINKS = {name: row.kinks for name, row in activations.ACTIVATIONS.items()}


def numeric_gradient(function, at):
    """Central differences of a scalar function, one element at a time."""
    gradient = np.zeros_like(at)
    for i in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[i] += STEP
        down[i] -= STEP
        gradient[i] = (function(up) - function(down)) / (2 * STEP)
    return gradient


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("with_residual", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("activation", [None, *reference.ACTIVATIONS])
def test_gradients_are_the_slope_of_the_forward_pass(activation, masked, with_residual, training):
    rng = np.random.default_rng(1)
    values = {
        "x": rng.normal(1.0, 2.0, SHAPE),
        # Wide, so that relu6's and hardswish's outer branches are reached.
        "weight": rng.uniform(2.0, 4.0, SHAPE[1]),
        "bias": rng.normal(1.0, 2.0, SHAPE[1]),
    }
    if with_residual:
        values["residual"] = rng.normal(size=SHAPE)
    fixed = {
        "running_mean": rng.normal(size=SHAPE[1]),
        "running_var": rng.uniform(0.5, 2.0, SHAPE[1]),
        "training": training,
        "activation": activation,
        "mask": rng.random((SHAPE[0], SHAPE[2])) < 0.7 if masked else None,
    }
    grad_output = rng.normal(size=SHAPE)
    forward = reference.batch_norm(**values, **fixed)
    # A difference taken across a kink is no derivative; this seed stays clear of all.
    assert all(np.abs(forward.z - kink).min() > 1e-3 for kink in KINKS.get(activation, ()))

    gradients = reference.batch_norm_backward(forward, grad_output)
    for name in values:

        def loss(value, name=name):
            return float(
                (reference.batch_norm(**{**values, name: value}, **fixed).output * grad_output).sum()
            )

        np.testing.assert_allclose(
            getattr(gradients, name), numeric_gradient(loss, values[name]), rtol=1e-6, atol=1e-8, err_msg=name
        )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_padding_has_no_gradient_and_its_grad_output_none_either(training):
    rng = np.random.default_rng(2)
    mask = np.array([True, True, False, True])
    forward = reference.batch_norm(
        rng.normal(size=(4, 2)), np.zeros(2), np.ones(2), training=training, mask=mask, activation="tanh"
    )
    grad_output = rng.normal(size=(4, 2))
    clean = reference.batch_norm_backward(forward, grad_output)
    grad_output[2] = np.nan
    dirty = reference.batch_norm_backward(forward, grad_output)
    np.testing.assert_array_equal(dirty.x, clean.x)
    np.testing.assert_array_equal(dirty.weight, clean.weight)
    np.testing.assert_array_equal(dirty.x[2], [0.0, 0.0])
    np.testing.assert_array_equal(dirty.residual[2], [0.0, 0.0])


def test_gradient_in_training_is_orthogonal_to_what_normalisation_removes():
    # Neither a shift nor (with eps 0) a scale of the input changes the output, so the gradient has no
    # part along either.
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6, 3, 4))
    forward = reference.batch_norm(x, training=True, eps=0.0)
    gradient = reference.batch_norm_backward(forward, rng.normal(size=x.shape)).x
    np.testing.assert_allclose(gradient.sum((0, 2)), 0.0, atol=1e-12)
    np.testing.assert_allclose((gradient * x).sum((0, 2)), 0.0, atol=1e-12)
