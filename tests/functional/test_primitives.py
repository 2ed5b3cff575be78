"""moments, normalise and update_running: what batch normalization, and layers beside it, are made of."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from normwise import functional, reference
from normwise.errors import ArgumentError, MaskError, ShapeError

SHAPES = [(6, 3), (5, 3, 4), (3, 2, 3, 4)]
EPS = 1e-5


def sample(shape, dtype=torch.float64, masked=False, seed=0):
    """An input, γ, β, a residual, a mask or None, and a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

    mask = torch.rand(shape[0], *shape[2:], generator=generator) < 0.7 if masked else None
    if mask is not None:
        mask.view(-1)[:2] = True
    return random(*shape), random(shape[1]), random(shape[1]), random(*shape), mask, random(*shape)


def in_three_parts(x, weight, bias, *, mask=None, **options):
    """Batch normalization in training, of the primitives."""
    _, mean, variance = functional.moments(x, mask)
    return functional.normalise(x, mean, torch.rsqrt(variance + EPS), weight, bias, mask=mask, **options)


def leaves(*tensors):
    return [t.detach().clone().requires_grad_() for t in tensors]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_moments_are_the_oracles(shape, masked, dtype):
    x, _, _, _, mask, _ = sample(shape, dtype, masked)
    found = functional.moments(x, mask)
    mean, variance, count = reference.batch_statistics(
        x.double().numpy(), None if mask is None else mask.numpy()
    )
    assert found.count.dtype is found.mean.dtype is torch.float64
    assert found.count == count
    # Sums of float32 of a handful of values of the order 1.
    tolerance = 1e-14 if dtype is torch.float64 else 1e-6
    np.testing.assert_allclose(found.mean.numpy(), mean, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.variance.numpy(), variance, rtol=0, atol=tolerance)


def test_without_a_real_position_moments_are_zero():
    count, mean, variance = functional.moments(
        torch.full((2, 3), torch.nan), torch.zeros(2, dtype=torch.bool)
    )
    assert count == 0
    assert not mean.any()
    assert not variance.any()


@pytest.mark.parametrize("mean", [1e4, 1e6, -3e6])
def test_a_mean_of_many_deviations_costs_no_digit(mean):
    x = (torch.randn(4096, 3, generator=torch.Generator().manual_seed(0)) + mean).requires_grad_()
    wide = x.detach().double().requires_grad_()
    grad = torch.randn(4096, 3, generator=torch.Generator().manual_seed(1))
    ones, zeros = torch.ones(3), torch.zeros(3)
    y = in_three_parts(x, ones, zeros)
    exact = functional.batch_norm(wide, None, None, training=True)
    torch.testing.assert_close(y.double(), exact, rtol=0, atol=2e-6)
    (got,), (wanted,) = torch.autograd.grad(y, x, grad), torch.autograd.grad(exact, wide, grad.double())
    torch.testing.assert_close(got.double(), wanted, rtol=0, atol=4e-6)
    np.testing.assert_allclose(
        functional.moments(x.detach()).mean.numpy(), wide.detach().mean(0).numpy(), rtol=1e-12
    )


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize(
    ("activation", "added"), [(None, False), ("silu", False), ("relu", True), ("gelu", True)]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_parts_together_are_batch_norm(dtype, activation, added, masked, shape):
    *tensors, mask, grad = sample(shape, dtype, masked)

    def outcome(function):
        given = leaves(*tensors)
        y = function(*given[:3], residual=given[3] if added else None, activation=activation, mask=mask)
        wanted = given if added else given[:3]
        return y.detach(), *torch.autograd.grad(y, wanted, grad)

    def whole(x, weight, bias, **options):
        return functional.batch_norm(x, None, None, weight, bias, True, eps=EPS, **options)

    tolerance = 64 * torch.finfo(dtype).eps
    for ours, theirs in zip(outcome(in_three_parts), outcome(whole), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(1.0, float(theirs.abs().max())))


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("activation", [None, "tanh"])
def test_gradients_of_the_parts_are_exact(activation, masked):
    x, weight, bias, residual, mask, _ = sample((4, 2, 3), masked=masked)
    mean, inverse = torch.tensor([0.3, -2.0]).double(), torch.tensor([0.7, 1.5]).double()

    def moments(x):
        return functional.moments(x, mask)[1:]

    def normalise(x, mean, inverse, weight, bias, residual):
        return functional.normalise(
            x, mean, inverse, weight, bias, activation=activation, residual=residual, mask=mask
        )

    for function, tensors in ((moments, [x]), (normalise, [x, mean, inverse, weight, bias, residual])):
        given = leaves(*tensors)
        assert gradcheck(function, given)
        assert gradgradcheck(function, given)


def synchronised(
    parts: Sequence[Tensor], masks: Sequence[Tensor | None], weight: Tensor, bias: Tensor
) -> list[Tensor]:
    """A layer over several processes: their moments are merged, as by an all_reduce."""
    counts, means, variances = map(
        torch.stack,
        zip(*(functional.moments(x, mask) for x, mask in zip(parts, masks, strict=True)), strict=True),
    )
    share = (counts / counts.sum())[:, None]
    mean = (share * means).sum(0)
    variance = (share * (variances + (means - mean).square())).sum(0)
    inverse = torch.rsqrt(variance + EPS)
    return [
        functional.normalise(x, mean, inverse, weight, bias, mask=mask)
        for x, mask in zip(parts, masks, strict=True)
    ]


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_a_synchronised_layer_is_the_oracle_of_the_whole_batch(masked):
    x, weight, bias, _, mask, grad = sample((7, 3, 5), masked=masked)
    expected = reference.batch_norm(
        x.numpy(),
        weight=weight.numpy(),
        bias=bias.numpy(),
        training=True,
        mask=None if mask is None else mask.numpy(),
    )
    wanted = reference.batch_norm_backward(expected, grad.numpy())
    given = leaves(x, weight, bias)
    masks = [None, None] if mask is None else [mask[:2], mask[2:]]
    y = torch.cat(synchronised([given[0][:2], given[0][2:]], masks, *given[1:]))
    np.testing.assert_allclose(y.detach().numpy(), expected.output, atol=1e-12)
    for got, exact in zip(
        torch.autograd.grad(y, given, grad), (wanted.x, wanted.weight, wanted.bias), strict=True
    ):
        np.testing.assert_allclose(got.numpy(), exact, atol=1e-12)


def ghost(x: Tensor, weight: Tensor, bias: Tensor, virtual: int) -> Tensor:
    """A layer that normalises each virtual batch of so many samples by itself, in one call: its groups are channels."""
    n, c = x.shape[:2]
    groups = n // virtual
    grouped = x.view(groups, virtual, c, -1).transpose(0, 1).reshape(virtual, groups * c, -1)
    _, mean, variance = functional.moments(grouped)
    y = functional.normalise(
        grouped, mean, torch.rsqrt(variance + EPS), weight.repeat(groups), bias.repeat(groups)
    )
    return y.view(virtual, groups, c, -1).transpose(0, 1).reshape(x.shape)


def test_a_ghost_layer_is_the_oracle_of_each_virtual_batch():
    x, weight, bias, _, _, grad = sample((6, 3, 4))
    given = leaves(x, weight, bias)
    y = ghost(given[0], given[1], given[2], virtual=2)
    got = torch.autograd.grad(y, given, grad)
    parts = [
        reference.batch_norm(part.numpy(), weight=weight.numpy(), bias=bias.numpy(), training=True)
        for part in x.split(2)
    ]
    wanted = [
        reference.batch_norm_backward(part, g.numpy()) for part, g in zip(parts, grad.split(2), strict=True)
    ]
    np.testing.assert_allclose(y.detach().numpy(), np.concatenate([p.output for p in parts]), atol=1e-12)
    np.testing.assert_allclose(got[0].numpy(), np.concatenate([g.x for g in wanted]), atol=1e-12)
    np.testing.assert_allclose(got[1].numpy(), sum(g.weight for g in wanted), atol=1e-12)
    np.testing.assert_allclose(got[2].numpy(), sum(g.bias for g in wanted), atol=1e-12)


def renormalised(x: Tensor, running_mean: Tensor, running_var: Tensor) -> Tensor:
    """Batch renormalization (Ioffe 2017, algorithm 1), with r_max = 1.5 and d_max = 0.5."""
    _, mean, variance = functional.moments(x)
    deviation, running = torch.sqrt(variance + EPS), torch.sqrt(running_var + EPS)
    r = (deviation / running).detach().clamp(1 / 1.5, 1.5)
    d = ((mean - running_mean) / running).detach().clamp(-0.5, 0.5)
    return functional.normalise(x, mean, 1 / deviation, r, d)


def test_a_renormalised_layer_is_its_equation():
    x, running_mean, running_var, _, _, grad = sample((6, 3, 4))
    running_var = running_var.abs() + 0.5
    given = leaves(x)
    y = renormalised(given[0], running_mean, running_var)
    values = x.numpy()
    mean, variance, _ = reference.batch_statistics(values)
    deviation, running = np.sqrt(variance + EPS), np.sqrt(running_var.numpy() + EPS)
    r = np.clip(deviation / running, 1 / 1.5, 1.5)
    d = np.clip((mean - running_mean.numpy()) / running, -0.5, 0.5)
    # r and d are constants to the gradient: the oracle's γ and β.
    expected = reference.batch_norm(values, weight=r, bias=d, training=True)
    np.testing.assert_allclose(y.detach().numpy(), expected.output, atol=1e-12)
    (got,) = torch.autograd.grad(y, given, grad)
    np.testing.assert_allclose(
        got.numpy(), reference.batch_norm_backward(expected, grad.numpy()).x, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_running_statistics_are_the_oracles(masked, dtype):
    x, mean, var, _, mask, _ = sample((6, 3, 4), dtype, masked)
    var = var.abs()
    expected = reference.batch_norm(
        x.double().numpy(),
        mean.double().numpy(),
        var.double().numpy(),
        training=True,
        momentum=0.3,
        mask=None if mask is None else mask.numpy(),
    )
    count, batch_mean, variance = functional.moments(x, mask)
    for number in (count, int(count)):
        moved = mean.clone(), var.clone()
        functional.update_running(*moved, batch_mean, variance, number, 0.3)
        for got, exact in zip(moved, (expected.running_mean, expected.running_var), strict=True):
            assert got.dtype is dtype
            assert exact is not None
            np.testing.assert_allclose(got.double().numpy(), exact, atol=2 * torch.finfo(dtype).eps)


def test_without_a_momentum_they_are_the_plain_average():
    mean, var, counter = torch.zeros(2), torch.ones(2), torch.tensor(0)
    found = []
    for seed in range(3):
        batch = torch.randn(5, 2, generator=torch.Generator().manual_seed(seed))
        found.append((batch.mean(0), batch.var(0)))
        count, batch_mean, variance = functional.moments(batch)
        functional.update_running(mean, var, batch_mean, variance, count, None, counter=counter)
    assert counter == 3
    for got, values in zip((mean, var), zip(*found, strict=True), strict=True):
        torch.testing.assert_close(got, torch.stack(values).mean(0))


@pytest.mark.parametrize("real", [0, 1])
def test_a_batch_without_a_variance_moves_nothing(real):
    mean, var, counter = torch.zeros(2), torch.ones(2), torch.tensor(4)
    count, batch_mean, variance = functional.moments(torch.randn(3, 2), torch.arange(3) < real)
    functional.update_running(mean, var, batch_mean, variance, count, 0.5, counter=counter)
    assert not mean.any()
    assert (var == 1).all()
    assert counter == 4


def test_either_statistic_may_be_missing_and_no_gradient_flows():
    x = torch.randn(4, 2, requires_grad=True)
    count, batch_mean, variance = functional.moments(x)
    running = torch.zeros(2)
    functional.update_running(running, None, batch_mean, variance, count)
    functional.update_running(None, running, batch_mean, variance, count)
    assert not running.requires_grad


def test_the_parts_are_compiled():
    def step(x, mean, var):
        count, batch_mean, variance = functional.moments(x)
        functional.update_running(mean, var, batch_mean, variance, count)
        return functional.normalise(x, batch_mean, torch.rsqrt(variance + EPS), activation="relu")

    x = torch.randn(6, 3)
    buffers = [(torch.zeros(3), torch.ones(3)) for _ in "ab"]
    torch.compiler.reset()
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, *buffers[0]), step(x, *buffers[1]))
    torch.testing.assert_close(buffers[0], buffers[1])


X = torch.randn(4, 3)
ONE_EACH = torch.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: functional.moments(X[0]),
            ShapeError,
            r"expected an input of shape \(N, C, \*\), got \(3,\)",
        ),
        (lambda: functional.moments(X.int()), ArgumentError, "expected an input of a floating type"),
        (lambda: functional.moments(X, torch.ones(4)), MaskError, "expected a boolean tensor as mask"),
        (lambda: functional.normalise(X[0], ONE_EACH, ONE_EACH), ShapeError, "expected an input of shape"),
        (
            lambda: functional.normalise(X, ONE_EACH[:2], ONE_EACH),
            ShapeError,
            r"but mean has the shape \(2,\)",
        ),
        (lambda: functional.normalise(X, ONE_EACH, X), ShapeError, "but inverse_deviation has the shape"),
        (lambda: functional.normalise(X, ONE_EACH, ONE_EACH, X), ShapeError, "but weight has the shape"),
        (
            lambda: functional.normalise(X, ONE_EACH, ONE_EACH, activation="swish"),
            ArgumentError,
            "unknown activation 'swish'",
        ),
        (lambda: functional.normalise(X, ONE_EACH, ONE_EACH, residual=X[:2]), ShapeError, "the residual has"),
        (
            lambda: functional.normalise(X, ONE_EACH, ONE_EACH, mask=X > 0),
            MaskError,
            "expected a mask of shape",
        ),
        (
            lambda: functional.update_running(ONE_EACH[:2].clone(), None, ONE_EACH, ONE_EACH, 4),
            ShapeError,
            r"running_mean has the shape \(2,\), that of the batch \(3,\)",
        ),
        (
            lambda: functional.update_running(ONE_EACH.clone(), None, ONE_EACH, ONE_EACH, 4, None),
            ArgumentError,
            "momentum=None asks for the plain average",
        ),
    ],
)
def test_wrong_arguments_are_clear_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
