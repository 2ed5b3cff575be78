"""Numbers that are none, and positions that are not real: they reach what they should, and nothing else."""

import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS
from normwise.kernels import Call, dispatch
from tests.kernels.triton.interpreted.step import COUNTED, Case, Results, Tensors, compute
from tests.kernels.triton.interpreted.watched import WatchedBackend

#: Shapes that take one launch, and shapes that take two stages.
SHAPES = {
    "planes at once": ((4, 3, 5, 7), torch.contiguous_format),
    "planes in parts": ((3, 3, 53, 53), torch.contiguous_format),
    "channels last at once": ((3, 19, 5, 4), torch.channels_last),
    "channels last in parts": ((3, 5, 15, 14), torch.channels_last),
}
layouts = pytest.mark.parametrize("layout", SHAPES)


def _case(layout: str, **settings: object) -> Case:
    shape, memory_format = SHAPES[layout]
    return Case(shape, memory_format, counter=True, **settings)  # pyright: ignore[reportArgumentType]


def assert_same_bits(got: Results, expected: Results) -> None:
    for field in fields(Results):
        a, b = getattr(got, field.name), getattr(expected, field.name)
        if b is None:
            assert a is None
        else:
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True, msg=field.name)


@layouts
@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("filling", [math.nan, 3e38])
def test_padding_may_hold_anything(
    layout: str, activation: str | None, training: bool, filling: float, triton: WatchedBackend
) -> None:
    case = _case(layout, masked=True, residual=True, training=training, activation=activation)
    tensors, filled = Tensors(case), Tensors(case)
    assert tensors.mask is not None
    # The first parts have padding only.
    for each in (tensors, filled):
        assert each.mask is not None
        each.mask.view(-1)[: each.mask.numel() // 2] = False
    padding = ~tensors.mask[:, None].expand(case.shape)
    for tensor in (filled.x, filled.residual, filled.grad_y):
        assert tensor is not None
        tensor[padding] = filling
    expected, got = compute(case, tensors), compute(case, filled)
    assert_same_bits(got, expected)
    assert triton.backwards
    for tensor in (got.output, got.grad_x, got.grad_residual):
        assert tensor is not None
        assert not tensor[padding].any()
    assert not any(getattr(got, field.name).isnan().any() for field in fields(Results))


@layouts
@pytest.mark.parametrize("real", [0, 1])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_batch_of_one_real_position_or_none_moves_nothing(
    layout: str, real: int, momentum: float | None, triton: WatchedBackend
) -> None:
    case = _case(layout, masked=True, momentum=momentum)
    tensors = Tensors(case)
    assert tensors.mask is not None
    tensors.mask[:] = False
    tensors.mask.view(-1)[-2] = real == 1
    got = compute(case, tensors)
    assert triton.backwards
    assert torch.equal(_there(got.mean), _there(tensors.mean))
    assert torch.equal(_there(got.var), _there(tensors.var))
    assert got.counter == COUNTED
    # The one is its own mean: β remains.
    expected = torch.where(tensors.mask[:, None], _column(tensors.bias, case), torch.zeros(case.shape))
    torch.testing.assert_close(got.output, expected)
    # But for a unit of γ g / √ε.
    torch.testing.assert_close(got.grad_x, torch.zeros_like(got.grad_x), rtol=0, atol=1e-3)
    torch.testing.assert_close(got.grad_weight, torch.zeros_like(_there(got.grad_weight)))


def _there(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def _column(vector: Tensor | None, case: Case) -> Tensor:
    return _there(vector).view(-1, *[1] * (len(case.shape) - 2))


@pytest.mark.parametrize("layout", ["planes at once", "channels last in parts"])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_nan_spoils_its_channel_and_no_other(
    layout: str, activation: str | None, triton: WatchedBackend
) -> None:
    value = math.inf if activation in (None, "relu6", "gelu") else math.nan
    case = _case(layout, activation=activation)
    tensors = Tensors(case)
    usual = compute(case, tensors)
    tensors.x[(-1, 1, *[-1] * (len(case.shape) - 2))] = value
    got = compute(case, tensors)
    assert triton.backwards
    others = torch.arange(case.shape[1]) != 1
    # Of a batch with an infinite number the statistics are none: all outputs are NaN, as torch's.
    assert got.output[:, 1].isnan().all()
    assert _there(got.mean)[1].isfinite().item() is False
    assert got.grad_x[:, 1].isnan().all()
    for name in ("output", "grad_x"):
        assert torch.equal(getattr(got, name)[:, others], getattr(usual, name)[:, others])
    for name in ("grad_weight", "grad_bias", "mean", "var"):
        assert torch.equal(getattr(got, name)[others], getattr(usual, name)[others])
    assert got.counter == COUNTED + 1


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_parts_of_padding_alone_may_hold_nan(
    memory_format: torch.memory_format, triton: WatchedBackend
) -> None:
    x = torch.randn(64, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(64, 8, 16, dtype=torch.bool)
    mask[20:24] = True
    padded = x.masked_fill(~mask.unsqueeze(1), math.nan).contiguous(memory_format=memory_format)
    y = dispatch.batch_norm(Call(padded, training=True, mask=mask))
    saved, real = _there(triton.kept), x[20:24].double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(saved[0], real.mean(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(saved[1], (real.var(1, correction=0) + 1e-5).rsqrt(), rtol=1e-6, atol=0)
    assert not y.isnan().any()
