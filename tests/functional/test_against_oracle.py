"""Every dtype, activation, residual and mask against the float64 oracle, forward and backward."""

import numpy as np
import pytest
import torch

from normwise import activations, functional, reference
from tests.support.grids import TRAINING, grid
from tests.support.kernels.implementations import PAIRS

pytestmark = pytest.mark.usefixtures("implementation")

SHAPE = (4, 3, 5)
# The slope of elu has no jump at 0, but its own does.
KINKS = {name: row.kinks for name, row in activations.ACTIVATIONS.items()} | {"elu": (0.0,)}


@grid(
    {
        ("implementation", "types"): PAIRS,
        "activation": {str(name): name for name in (None, *functional.ACTIVATIONS)},
        "with_residual": {"alone": False, "residual": True},
        "masked": {"full": False, "masked": True},
        "training": TRAINING,
    }
)
def test_output_statistics_and_gradients_are_the_oracles(types, activation, with_residual, masked, training):
    generator = torch.Generator().manual_seed(0)

    def random(shape, dtype):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    x, residual, grad_output = (random(SHAPE, types.x) for _ in range(3))
    weight, bias, running_mean = (random(SHAPE[1], types.parameters) for _ in range(3))
    running_var = random(SHAPE[1], types.parameters).abs() + 0.5
    mask = torch.rand(SHAPE[0], SHAPE[2], generator=generator) < 0.7
    expected = reference.batch_norm(
        x.double().numpy(),
        running_mean.double().numpy(),
        running_var.double().numpy(),
        weight.double().numpy(),
        bias.double().numpy(),
        training,
        momentum=0.3,
        activation=activation,
        residual=residual.double().numpy() if with_residual else None,
        mask=mask.numpy() if masked else None,
    )
    # Values here are of the order 1 to 4: that many units in the last place for the handful of roundings
    # on the way, each no larger than half a unit.
    tolerance = 16 * torch.finfo(types.x).eps
    # Beside a kink rounding decides which slope is taken; nothing is asked of those elements.
    for kink in KINKS.get(activation, ()):
        grad_output[torch.from_numpy(np.abs(expected.z - kink) < tolerance)] = 0
    gradients = reference.batch_norm_backward(expected, grad_output.double().numpy())

    leaves = [x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
    wanted = [gradients.x, gradients.weight, gradients.bias]
    if with_residual:
        leaves.append(residual.requires_grad_())
        wanted.append(gradients.residual)
    output = functional.batch_norm(
        x,
        running_mean,
        running_var,
        weight,
        bias,
        training,
        momentum=0.3,
        activation=activation,
        residual=residual if with_residual else None,
        mask=mask if masked else None,
    )
    got = torch.autograd.grad(output, leaves, grad_output)

    def assert_near(actual, exact, dtype):
        assert actual.dtype == dtype
        assert exact is not None
        scale = max(1.0, float(np.abs(exact).max()))
        np.testing.assert_allclose(actual.detach().double().numpy(), exact, rtol=0, atol=tolerance * scale)

    assert_near(output, expected.output, types.x)
    assert_near(running_mean, expected.running_mean, types.parameters)
    assert_near(running_var, expected.running_var, types.parameters)
    for leaf, actual, exact in zip(leaves, got, wanted, strict=True):
        assert_near(actual, exact, leaf.dtype)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_momentum_given_as_a_tensor_is_the_same_number(momentum, masked):
    x = torch.randn(6, 3, dtype=torch.float64)
    mask = torch.tensor([True, True, False, True, True, False]) if masked else None
    buffers = [
        [torch.full((3,), 2.0, dtype=torch.float64), torch.full((3,), 3.0, dtype=torch.float64)] for _ in "ab"
    ]
    outputs = [
        functional.batch_norm(x, *statistics, training=True, momentum=value, mask=mask)
        for statistics, value in zip(
            buffers, [momentum, torch.tensor(momentum, dtype=torch.float64)], strict=True
        )
    ]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=0)
    torch.testing.assert_close(buffers[1], buffers[0], rtol=1e-14, atol=0)
    moved = momentum > 0
    assert bool((buffers[0][0] != 2.0).all()) is moved


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_tensor_momentum_rounds_low_precision_statistics_once(dtype):
    # A constant batch: its mean is exact, so the update is the only rounding.
    torch.manual_seed(0)
    old, batch = (torch.randn(64) * 8).to(dtype), torch.randn(64).to(dtype)
    running, momentum = old.clone(), torch.tensor(1 / 3, dtype=torch.float64)
    functional.batch_norm(
        batch.expand(4, 64), running, torch.ones_like(old), training=True, momentum=momentum
    )
    exact = old.double() + (batch.double() - old.double()) / 3
    torch.testing.assert_close(running, exact.to(dtype), rtol=0, atol=0)
