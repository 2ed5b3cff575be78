"""Layers with activation, residual and mask at once, against the float64 oracle."""

import numpy as np
import pytest
import torch

from normwise import kernels, reference
from normwise.kernels import Call
from tests.support.grids import TRAINING, grid
from tests.support.kernels.implementations import PAIRS
from tests.support.layers import KINDS


def numpy(tensor):
    return tensor.detach().double().numpy()


@grid(
    {
        "kind": KINDS,
        ("implementation", "types"): PAIRS,
        "masked": {"full": False, "masked": True},
        "training": TRAINING,
    }
)
@pytest.mark.usefixtures("implementation")
def test_layer_is_the_oracle(kind, types, masked, training):
    torch.manual_seed(0)
    layer = kind.ours(3, momentum=0.3, dtype=types.parameters, activation="gelu").train(training)
    for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
        torch.nn.init.uniform_(tensor, 0.5, 2.0)
    x, residual, grad_output = (
        torch.randn(kind.shape).to(types.x).contiguous(memory_format=kind.memory_format) for _ in range(3)
    )
    mask = torch.rand(kind.mask_shape) < 0.7 if masked else None
    expected = reference.batch_norm(
        numpy(x),
        numpy(layer.running_mean),
        numpy(layer.running_var),
        numpy(layer.weight),
        numpy(layer.bias),
        training,
        layer.momentum,
        activation="gelu",
        residual=numpy(residual),
        mask=None if mask is None else mask.numpy(),
    )
    exact = reference.batch_norm_backward(expected, numpy(grad_output))
    leaves = [x.requires_grad_(), layer.weight, layer.bias, residual.requires_grad_()]
    output = layer(x, residual=residual, mask=mask)
    got = torch.autograd.grad(output, leaves, grad_output)

    assert output.is_contiguous(memory_format=kind.memory_format)
    # Sums of up to 48 elements of the order 1; a handful of roundings in the input's type on the way.
    tolerance = 16 * torch.finfo(types.x).eps

    def assert_near(actual, wanted):
        scale = max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(numpy(actual), wanted, rtol=0, atol=tolerance * scale)

    assert_near(output, expected.output)
    for actual, wanted in zip(got, (exact.x, exact.weight, exact.bias, exact.residual), strict=True):
        assert_near(actual, wanted)
    assert_near(layer.running_mean, expected.running_mean)
    assert_near(layer.running_var, expected.running_var)
    assert layer.num_batches_tracked.item() == int(training)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_activation_and_residual_are_what_one_would_write_behind_torchs_layer(
    kind, activation, training, agree
):
    written = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
    function = written.get(activation) or getattr(torch.nn.functional, activation)
    ours = kind.ours(3, activation=activation).train(training)
    theirs = kind.theirs(3).train(training)
    x, residual = torch.randn(2, *kind.shape).unbind()
    expected = function(theirs(x) + residual)
    agree(ours(x, residual=residual), expected, x.dtype)


@pytest.mark.parametrize(
    "how", ["the residual is the input", "the input is made of the residual", "γ is made of the input"]
)
def test_a_gradient_that_is_to_be_differentiated_is_not_counted_twice(how):
    torch.manual_seed(0)
    given, factor = torch.randn(2, 4, 3, 5)
    given.requires_grad_()
    weight, x, residual = torch.ones(3), given, given
    if how == "the input is made of the residual":
        x = given * given + given.flip(2)
    elif how == "γ is made of the input":
        weight, residual = given.mean((0, 2)) + 1, None

    def gradient(create_graph):
        call = Call(x, weight=weight, training=True, activation="silu", residual=residual)
        y = kernels.batch_norm(call)
        return torch.autograd.grad((y * factor).sum(), given, create_graph=create_graph, retain_graph=True)[0]

    torch.testing.assert_close(gradient(create_graph=True), gradient(create_graph=False))
