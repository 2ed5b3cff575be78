"""First and second derivatives against finite differences, by torch's own checkers, in float64."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from normwise import activations, functional

SHAPE = (4, 2, 3)
# The slope of elu has no jump at 0, but its own does.
KINKS = {name: row.kinks for name, row in activations.ACTIVATIONS.items()} | {"elu": (0.0,)}
COMBINATIONS = [
    pytest.mark.parametrize("training", [True, False], ids=["train", "eval"]),
    pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"]),
    pytest.mark.parametrize("with_residual", [False, True], ids=["alone", "residual"]),
    pytest.mark.parametrize("activation", [None, *functional.ACTIVATIONS]),
]


def every_combination(test):
    for mark in COMBINATIONS:
        test = mark(test)
    return test


def problem(activation, with_residual, masked, training):
    """The function of its differentiable inputs, and these."""
    generator = torch.Generator().manual_seed(7)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mask = torch.rand(SHAPE[0], SHAPE[2], generator=generator) < 0.7 if masked else None
    running_mean, running_var = random(2), random(2).square() + 0.5
    # Weights of 3 reach the outer branches of relu6 and hardswish.
    leaves = [random(*SHAPE), random(2) + 3.0, random(2), random(*SHAPE)][: 4 if with_residual else 3]

    def normalise(x, weight, bias, residual=None, name=activation):
        return functional.batch_norm(
            x,
            running_mean.clone(),
            running_var.clone(),
            weight,
            bias,
            training,
            activation=name,
            residual=residual,
            mask=mask,
        )

    # Differences taken across a kink are no derivative; this seed stays clear of all real positions'.
    z = normalise(*leaves, name=None).movedim(1, -1)[... if mask is None else mask]
    assert all((z - kink).abs().min() > 1e-3 for kink in KINKS.get(activation, ()))
    return normalise, tuple(leaf.requires_grad_() for leaf in leaves)


@every_combination
def test_first_derivatives(activation, with_residual, masked, training):
    assert gradcheck(*problem(activation, with_residual, masked, training), check_batched_grad=True)


@every_combination
def test_second_derivatives(activation, with_residual, masked, training):
    assert gradgradcheck(*problem(activation, with_residual, masked, training))


# Not ours: torch writes some of its forward-mode formulas with torch.jit, which it has deprecated.
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_forward_mode_derivatives(masked):
    function, inputs = problem("tanh", with_residual=True, masked=masked, training=True)
    assert gradcheck(function, inputs, check_forward_ad=True, check_backward_ad=False)
