"""The oracle's activations and their derivatives against torch's, in float64."""

import numpy as np
import pytest
import torch

from normwise import functional, reference

# The kinks (0, ±3, 6), signed zero, both tails, and where exp would overflow.
POINTS = np.array(
    [-800.0, -30.0, -5.0, -3.0, -2.9, -1.0, -1e-9, -0.0, 0.0, 1e-9, 0.5, 2.9, 3.0, 6.0, 6.1, 30.0, 800.0]
)


def test_oracle_and_library_know_the_same_activations():
    assert list(reference.ACTIVATIONS) == list(functional.ACTIVATIONS)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_value_and_derivative_are_torchs(name):
    z = torch.from_numpy(POINTS.copy()).requires_grad_()
    y = functional.ACTIVATIONS[name](z)
    (slope,) = torch.autograd.grad(y.sum(), z)
    value, derivative = reference.ACTIVATIONS[name]
    np.testing.assert_allclose(value(POINTS), y.detach().numpy(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(derivative(POINTS), slope.numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "point", "expected"),
    [
        ("relu", -2.0, 0.0),
        ("relu6", 7.0, 6.0),
        ("leaky_relu", -2.0, -0.02),
        ("elu", -1.0, np.exp(-1.0) - 1.0),
        ("gelu", 1.0, 0.8413447460685429),  # Φ(1), from a table
        ("silu", 1.0, 1.0 / (1.0 + np.exp(-1.0))),
        ("hardswish", 1.0, 4.0 / 6.0),
        ("sigmoid", 2.0, 1.0 / (1.0 + np.exp(-2.0))),
        ("tanh", 0.5, np.tanh(0.5)),
    ],
)
def test_each_name_means_its_textbook_formula(name, point, expected):
    # Oracle and library might both call the wrong function by a name; this one might not.
    assert reference.ACTIVATIONS[name][0](np.array([point])) == pytest.approx(expected, rel=1e-14)
