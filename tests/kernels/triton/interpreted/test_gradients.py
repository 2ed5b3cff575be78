"""Gradients: the side of a kink, outputs that don't tell their inputs, second derivatives, hooks on saved tensors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from normwise.errors import AutogradError
from normwise.kernels import Call, dispatch
from tests.kernels.triton.interpreted.step import Case, Tensors, compute
from tests.kernels.triton.interpreted.test_padding import SHAPES, assert_same_bits
from tests.kernels.triton.interpreted.watched import WatchedBackend

layouts = pytest.mark.parametrize("layout", SHAPES)


@layouts
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_backward_decides_as_forward_on_which_side_of_the_kink_a_value_is(
    layout: str, training: bool, triton: WatchedBackend
) -> None:
    shape, memory_format = SHAPES[layout]
    tensors = Tensors(Case(shape, memory_format))
    assert tensors.mean is not None
    assert tensors.var is not None
    assert tensors.weight is not None
    # Few different values, one of which is normalised to 0 but for rounding.
    x = tensors.x.mul(2).round().div(2).contiguous(memory_format=memory_format)
    values = x.transpose(0, 1).flatten(1).double()
    if training:
        mean, var = values.mean(1), values.var(1, correction=0)
    else:
        mean, var = tensors.mean.double(), tensors.var.double()
    bias = (tensors.weight.double() * (mean - values[:, 0]) / (var + 1e-5).sqrt()).float()
    x.requires_grad_()
    bias.requires_grad_()
    call = Call(x, tensors.mean, tensors.var, tensors.weight, bias, training, activation="relu")
    y = dispatch.batch_norm(call)
    assert ((y != 0) & (y < 1e-5)).any()
    of_x, of_bias = torch.autograd.grad(y, [x, bias], torch.ones_like(y))
    assert triton.backwards
    assert torch.equal(of_bias, (y > 0).transpose(0, 1).flatten(1).sum(1).float())
    if not training:
        assert torch.equal(of_x != 0, y > 0)


@layouts
@pytest.mark.parametrize("lost", [0.0, 1e-5])
def test_a_weight_that_cant_be_divided_by_gives_nan_in_its_channel(
    layout: str, lost: float, triton: WatchedBackend
) -> None:
    """As on a GPU, where its value is not asked for."""
    shape, memory_format = SHAPES[layout]
    tensors = Tensors(Case(shape, memory_format))
    assert tensors.weight is not None
    assert tensors.bias is not None

    def gradients(weight: Tensor) -> tuple[Tensor, ...]:
        leaves = [tensors.x.clone().requires_grad_(), weight.clone().requires_grad_(), tensors.bias]
        call = Call(leaves[0] * 1, None, None, leaves[1], leaves[2], True, inplace=True)
        return torch.autograd.grad(dispatch.batch_norm(call), leaves[:2], tensors.grad_y)

    usual = gradients(tensors.weight)
    tensors.weight[1], tensors.bias[1] = lost, 0.5
    got = gradients(tensors.weight)
    assert len(triton.backwards) == 2
    others = torch.arange(shape[1]) != 1
    assert got[0][:, 1].isnan().all()
    assert got[1][1].isnan()
    assert torch.equal(got[0][:, others], usual[0][:, others])
    assert torch.equal(got[1][others], usual[1][others])


def test_second_derivatives_are_torchs(triton: WatchedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = Tensors(Case((4, 3, 5, 7)))

    def twice() -> tuple[Tensor, ...]:
        leaves = [t.clone().requires_grad_() for t in (tensors.x, tensors.weight) if t is not None]
        call = Call(leaves[0], None, None, leaves[1], None, True, activation="silu")
        first = torch.autograd.grad(dispatch.batch_norm(call), leaves, tensors.grad_y, create_graph=True)
        return torch.autograd.grad([g.square().sum() for g in first], leaves)

    got = twice()
    assert triton.forwards
    monkeypatch.setattr(dispatch, "BACKENDS", ())
    torch.testing.assert_close(got, twice(), rtol=1e-4, atol=1e-4)


HOOKS: dict[str, Callable[[Tensor], Tensor]] = {
    "copies": torch.Tensor.clone,
    "at an offset": lambda t: torch.cat([t.flatten()[:1], t.flatten()])[1:].view(t.shape),
    "reversed": lambda t: t.permute(*range(t.dim())[::-1]).contiguous().permute(*range(t.dim())[::-1]),
}


@layouts
@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_may_give_saved_tensors_back_from_elsewhere(
    layout: str, hook: str, triton: WatchedBackend
) -> None:
    shape, memory_format = SHAPES[layout]
    case = Case(shape, memory_format, residual=True, masked=True, activation="silu")
    tensors = Tensors(case)
    expected = compute(case, tensors)
    with saved_tensors_hooks(lambda t: HOOKS[hook](t.detach()) if t.dim() else t, lambda t: t):
        got = compute(case, tensors)
    assert len(triton.backwards) == 2
    if memory_format is torch.contiguous_format:
        assert_same_bits(got, expected)
    for name in ("grad_x", "grad_weight", "grad_bias", "grad_residual"):
        torch.testing.assert_close(getattr(got, name), getattr(expected, name), rtol=1e-4, atol=1e-4)


def test_hooks_that_give_something_else_back_are_refused(triton: WatchedBackend) -> None:
    case = Case((4, 3, 5, 7))
    change: Any = lambda t: t.half() if t.dim() == 4 else t  # noqa: E731 (a hook)
    with saved_tensors_hooks(change, lambda t: t), pytest.raises(AutogradError, match="the saved input has"):
        compute(case, Tensors(case))
    assert triton.forwards
