"""Renorm layers: r and d as the paper has them, their schedule, and gradients to which they are constants."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from normwise import nn, reference
from normwise.errors import ArgumentError, AutogradError
from tests.support.grids import grid
from tests.support.kernels.implementations import PAIRS, each_type
from tests.support.oracles import family_oracles

#: Settings of a layer whose limits are those of the end from the first batch on.
NOW: dict[str, Any] = {"warmup_steps": 0, "r_max_steps": 0, "d_max_steps": 0}
#: The same with limits that no batch here reaches.
FREE: dict[str, Any] = {**NOW, "r_max": 1e3, "d_max": 1e3}
CASES: dict[str, tuple[Any, tuple[int, ...], torch.memory_format]] = {
    "1d": (nn.BatchRenorm1d, (8, 3), torch.contiguous_format),
    "1d-sequences": (nn.BatchRenorm1d, (4, 3, 5), torch.contiguous_format),
    "2d-channels_last": (nn.BatchRenorm2d, (3, 3, 4, 2), torch.channels_last),
    "3d": (nn.BatchRenorm3d, (2, 3, 2, 2, 3), torch.contiguous_format),
}


def array(tensor: Tensor) -> Any:
    return tensor.detach().double().numpy()


def filled(layer: Any) -> Any:
    """A layer of which nothing is as it began."""
    generator = torch.Generator().manual_seed(0)
    for tensor in [*layer.parameters(), layer.running_mean, layer.running_var]:
        torch.nn.init.uniform_(tensor, 0.5, 2.0, generator=generator)
    return layer


def numbers(*shape: int, seed: int = 1, shift: float = 0.0) -> Tensor:
    return shift + torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_steps_are_the_oracles(
    layer: Any, x: Tensor, grad: Tensor, unit: float, *, residual: Tensor | None = None, mask: Any = None
) -> None:
    expected = family_oracles.renorm(
        array(x),
        array(grad),
        (float(layer.limits()[0]), float(layer.limits()[1])),
        array(layer.weight),
        array(layer.bias),
        (array(layer.running_mean), array(layer.running_var)),
        layer.momentum,
        activation=layer.activation,
        residual=None if residual is None else array(residual),
        mask=None if mask is None else mask.numpy(),
    )
    given = [] if residual is None else [residual.requires_grad_()]
    leaves = [x.requires_grad_(), layer.weight, layer.bias, *given]
    output = layer(x, residual=residual, mask=mask)
    found = [output, *torch.autograd.grad(output, leaves, grad), layer.running_mean, layer.running_var]
    wanted: list[Any] = [expected.output, expected.x, expected.weight, expected.bias]
    wanted += [expected.residual] if given else []
    wanted += [expected.running_mean, expected.running_var]
    for actual, exact in zip(found, wanted, strict=True):
        np.testing.assert_allclose(
            array(actual), exact, rtol=0, atol=16 * unit * max(1.0, np.abs(exact).max())
        )


@grid(
    {
        "case": CASES,
        ("implementation", "types"): PAIRS,
        "masked": {"full": False, "masked": True},
        "limits": {"clipped": {"r_max": 1.05, "d_max": 0.1}, "free": {"r_max": 1e3, "d_max": 1e3}},
        "ending": {"plain": (None, False), "activated": ("gelu", False), "added": ("silu", True)},
    },
    strength=2,
)
@pytest.mark.usefixtures("implementation")
def test_layer_is_the_oracle(case: Any, types: Any, masked: bool, limits: Any, ending: Any) -> None:
    kind, shape, memory_format = case
    activation, added = ending
    layer = filled(kind(3, momentum=0.3, dtype=types.parameters, activation=activation, **{**NOW, **limits}))
    x, grad, residual = (
        numbers(*shape, seed=seed).to(types.x).contiguous(memory_format=memory_format) for seed in range(3)
    )
    mask = None
    if masked:
        mask = torch.rand(shape[0], *shape[2:], generator=torch.Generator().manual_seed(9)) < 0.7
    # Parameters of few bits: so are γ r and γ d + β.
    unit = max(torch.finfo(types.x).eps, torch.finfo(types.parameters).eps)
    assert_steps_are_the_oracles(layer, x, grad, unit, residual=residual if added else None, mask=mask)


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_activation_is_applied_to_what_is_corrected(activation: str) -> None:
    layer = filled(nn.BatchRenorm2d(3, activation=activation, dtype=torch.float64, **NOW))
    x, grad, residual = (numbers(4, 3, 2, 2, seed=seed) for seed in range(3))
    assert_steps_are_the_oracles(layer, x, grad, 1e-14, residual=residual)


@each_type(torch.float32, torch.float64)
@pytest.mark.usefixtures("implementation")
def test_means_far_larger_than_the_deviations_cost_no_precision(dtype: torch.dtype) -> None:
    layer = filled(nn.BatchRenorm1d(3, momentum=0.3, dtype=dtype, **FREE))
    with torch.no_grad():
        layer.running_mean.add_(1e4)
    x, grad = (numbers(10, 3, 6, shift=1e4).to(dtype), numbers(10, 3, 6, seed=2).to(dtype))
    assert_steps_are_the_oracles(layer, x, grad, max(torch.finfo(dtype).eps, 1e4 * 2**-52))


def test_steps_follow_the_schedule_and_the_statistics() -> None:
    layer = filled(
        nn.BatchRenorm1d(3, dtype=torch.float64, warmup_steps=2, r_max_steps=4, d_max_steps=6, r_max=1.2)
    )
    for seed in range(8):
        assert_steps_are_the_oracles(layer, numbers(6, 3, seed=seed), numbers(6, 3, seed=seed + 10), 1e-14)
        assert layer.num_batches_tracked.item() == seed + 1


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (0, (1, 0)),
        (5_000, (1, 0)),
        (15_000, (1 + 2 * 10 / 35, 2.5)),
        (25_000, (1 + 2 * 20 / 35, 5)),
        (40_000, (3, 5)),
        (10**6, (3, 5)),
    ],
)
def test_the_default_schedule_is_the_papers(steps: int, expected: tuple[float, float]) -> None:
    layer = nn.BatchRenorm1d(3)
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked.fill_(steps)
    assert [float(limit) for limit in layer.limits()] == pytest.approx(expected)


def test_without_a_ramp_the_batch_after_the_warm_up_has_the_limits() -> None:
    layer = nn.BatchRenorm1d(3, warmup_steps=2, r_max_steps=2, d_max_steps=2)
    found = []
    for seed in range(4):
        found.append([float(limit) for limit in layer.limits()])
        layer(numbers(4, 3, seed=seed).float())
    assert found == [[1, 0], [1, 0], [3, 5], [3, 5]]
    assert [float(limit) for limit in nn.BatchRenorm1d(3, **NOW).limits()] == [3, 5]


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_within_the_limits_training_computes_what_evaluation_does(masked: bool) -> None:
    layer = filled(nn.BatchRenorm2d(3, activation="elu", dtype=torch.float64, **FREE))
    x, mask = numbers(4, 3, 5, 5), torch.rand(4, 5, 5) < 0.7 if masked else None
    expected = copy.deepcopy(layer).eval()(x, mask=mask)
    torch.testing.assert_close(layer(x, mask=mask), expected)


def test_a_count_of_batches_that_is_loaded_ends_the_warm_up() -> None:
    plain, layer = nn.BatchNorm1d(3), nn.BatchRenorm1d(3)
    assert plain.num_batches_tracked is not None
    plain.num_batches_tracked.fill_(40_000)
    layer.load_state_dict(plain.state_dict())
    assert [float(limit) for limit in layer.limits()] == [3, 5]
    plain.load_state_dict(layer.state_dict())
    assert plain.num_batches_tracked.item() == 40_000


def test_r_and_d_are_constants_to_the_gradient() -> None:
    layer = filled(nn.BatchRenorm1d(3, dtype=torch.float64, **FREE))
    x, grad = numbers(6, 3, shift=1.0).requires_grad_(), numbers(6, 3, seed=2)
    mean, deviation = x.mean(0), (x.var(0, correction=0) + layer.eps).sqrt()
    running = (layer.running_var + layer.eps).sqrt()
    r, d = (deviation / running).detach(), ((mean - layer.running_mean) / running).detach()
    written = layer.weight * ((x - mean) / deviation * r + d) + layer.bias
    leaves = [x, layer.weight, layer.bias]
    expected = torch.autograd.grad(written, leaves, grad)
    torch.testing.assert_close(torch.autograd.grad(layer(x), leaves, grad), expected)


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_gradients_to_the_second_order_where_both_limits_hold(masked: bool) -> None:
    # Clipped, r and d don't depend on the input, and so a difference quotient sees them as constants, too.
    layer = filled(nn.BatchRenorm1d(2, momentum=0.0, r_max=1.01, d_max=0.01, dtype=torch.float64, **NOW))
    x = numbers(5, 2, 2, shift=4.0)
    mask = torch.tensor([[True, True]] * 3 + [[True, False], [False, False]]) if masked else None
    bounds = family_oracles.renorm_correction(
        array(x), (array(layer.running_mean), array(layer.running_var)), 1e9, 1e9, layer.eps, mask
    )
    assert np.all(np.abs(bounds[0] - 1) > 0.02)
    assert np.all(np.abs(bounds[1]) > 0.02)

    def function(x: Tensor) -> Tensor:
        return layer(x, mask=mask).tanh()

    assert torch.autograd.gradcheck(function, (x.requires_grad_(),))
    assert torch.autograd.gradgradcheck(function, (x.requires_grad_(),))


@pytest.mark.parametrize("true", [0, 1])
def test_a_batch_without_a_variance_is_not_corrected_and_moves_nothing(true: int) -> None:
    layer = filled(nn.BatchRenorm1d(3, **FREE))
    before = copy.deepcopy(layer.state_dict())
    mask = torch.arange(4) < true
    y = layer(torch.full((4, 3), 7.0), mask=mask)
    torch.testing.assert_close(y, torch.where(mask[:, None], layer.bias, 0.0).expand(4, 3))
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("affine", [True, False])
def test_without_running_statistics_it_is_batch_normalization(affine: bool) -> None:
    x = numbers(4, 3).float()
    layer = nn.BatchRenorm1d(3, affine=affine, track_running_stats=False, **FREE)
    assert torch.equal(layer(x), nn.BatchNorm1d(3, affine=affine, track_running_stats=False)(x))
    later = nn.BatchRenorm1d(3, affine=affine, **FREE)
    later.track_running_stats = False
    assert torch.equal(later(x), nn.BatchNorm1d(3, affine=affine)(x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_missing_parameters_are_one_and_zero(affine: bool, bias: bool) -> None:
    layer = nn.BatchRenorm1d(3, affine=affine, bias=bias, dtype=torch.float64, **FREE)
    full = nn.BatchRenorm1d(3, dtype=torch.float64, **FREE)
    for each in (layer, full):
        each(numbers(6, 3, seed=5, shift=2.0))
    x = numbers(6, 3)
    torch.testing.assert_close(layer(x), full(x))


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("segments", [1, 3])
def test_checkpointing_repeats_the_r_and_d_of_the_forward_pass(reentrant: bool, segments: int) -> None:
    def run(checkpointed: bool) -> list[Tensor]:
        layer = filled(nn.BatchRenorm1d(3, momentum=0.5, activation="silu", dtype=torch.float64, **FREE))
        found: list[Tensor] = []
        for step in range(2):
            x = numbers(6, 3, seed=step, shift=step).requires_grad_()
            y = x
            # A shared layer is called several times before the first backward pass.
            for _ in range(segments):
                y = checkpoint(layer, y, use_reentrant=reentrant) if checkpointed else layer(y)
            layer.zero_grad()
            y.sin().sum().backward()
            found += [each.grad.clone() for each in (x, *layer.parameters()) if each.grad is not None]
        return [*found, *layer.buffers()]

    torch.testing.assert_close(run(True), run(False), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_between_forward_and_backward_goes_on_alike(how: Any) -> None:
    layer = filled(nn.BatchRenorm1d(3, **FREE))
    layer(numbers(6, 3).float())
    other, x = how(layer), numbers(6, 3, seed=3).float()
    assert torch.equal(other(x), layer(x))
    assert repr(other) == repr(layer)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r_max": 0.5}, "expected r_max of 1 or more and d_max of 0 or more, got 0.5 and 5.0"),
        ({"d_max": -1.0}, "expected r_max of 1 or more and d_max of 0 or more, got 3.0 and -1.0"),
        ({"r_max": float("nan")}, "expected r_max of 1 or more"),
        ({"warmup_steps": -1}, "expected 0 <= warmup_steps <= r_max_steps and d_max_steps, got -1"),
        ({"warmup_steps": 30_000}, "got 30000, 40000 and 25000"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        nn.BatchRenorm1d(3, **settings)


def _gradient(batches: list[Tensor], *, checkpointed: bool) -> Tensor:
    """Return the gradient behind a renorm layer that is called with all batches before the backward pass."""
    torch.manual_seed(0)
    linear, layer = torch.nn.Linear(3, 3), nn.BatchRenorm1d(3, warmup_steps=0, r_max_steps=0, d_max_steps=0)

    def block(x: Tensor) -> Tensor:
        return layer(linear(x)).tanh()

    losses = [
        (checkpoint(block, x, use_reentrant=False) if checkpointed else block(x))
        .mul(number + 1)
        .pow(3)
        .mean()
        for number, x in enumerate(batches)
    ]
    torch.stack(losses).sum().backward()
    assert linear.weight.grad is not None
    return linear.weight.grad


def test_the_same_batch_in_two_passes_is_repeated_with_the_r_and_d_of_each() -> None:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(_gradient([x, x], checkpointed=True), _gradient([x, x], checkpointed=False))


def test_more_passes_than_are_remembered_are_an_error() -> None:
    batches = list(torch.randn(40, 8, 3, generator=torch.Generator().manual_seed(1)).unbind())
    with pytest.raises(AutogradError, match="at most 32 forward passes may come between a checkpointed one"):
        _gradient(batches, checkpointed=True)
