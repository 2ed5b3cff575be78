"""The operator of compiled graphs, and the moments of a batch, by the interpreted kernels."""

import pytest
import torch
from torch import Tensor

from normwise.kernels import compiled_graphs, dispatch, torch_backend
from tests.kernels.triton.interpreted.step import Case, Results, Tensors, compute
from tests.kernels.triton.interpreted.test_padding import SHAPES
from tests.kernels.triton.interpreted.watched import WatchedBackend

layouts = pytest.mark.parametrize("layout", SHAPES)


@layouts
@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_the_operator_computes_what_a_call_does(
    layout: str, activation: str, masked: bool, triton: WatchedBackend
) -> None:
    shape, memory_format = SHAPES[layout]
    case = Case(shape, memory_format, residual=True, activation=activation, masked=masked, momentum=1.0)
    tensors = Tensors(case)
    expected: Results = compute(case, tensors)
    x, weight, bias, residual, mask = (
        tensors.x, tensors.weight, tensors.bias, tensors.residual, tensors.mask,
    )  # fmt: skip
    y, saved, batch = compiled_graphs._forward(triton, x, weight, bias, residual, mask, 1e-5, activation)
    assert torch.equal(y, expected.output)
    assert y.stride() == x.stride()
    torch.testing.assert_close(batch.float(), torch.stack([_there(expected.mean), _there(expected.var)]))
    source = y if activation == "relu" else residual
    gradients = compiled_graphs._backward(
        triton, x, weight, bias, saved, source, tensors.grad_y, mask, activation
    )
    names = ("grad_x", "grad_weight", "grad_bias", "grad_residual")
    for got, name in zip(gradients, names, strict=True):
        assert torch.equal(got, getattr(expected, name)), name


def _there(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def test_the_operator_takes_any_order_in_memory(triton: WatchedBackend) -> None:
    x = torch.randn(5, 7, 3, 4).permute(3, 2, 1, 0)
    y, *_ = compiled_graphs._forward(triton, x, None, None, None, None, 1e-5, None)
    assert triton.forwards
    assert y.stride() == x.stride()
    torch.testing.assert_close(y, torch.nn.functional.batch_norm(x, None, None, training=True))


def test_the_operator_takes_an_empty_batch(triton: WatchedBackend) -> None:
    y, *_ = compiled_graphs._forward(triton, torch.empty(0, 3, 4), None, None, None, None, 1e-5, None)
    assert y.shape == (0, 3, 4)


@layouts
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("real", [None, "some", "none"])
def test_moments_are_those_in_float64(
    layout: str, dtype: torch.dtype, real: str | None, triton: WatchedBackend
) -> None:
    shape, memory_format = SHAPES[layout]
    tensors = Tensors(Case(shape, memory_format, dtype, masked=real is not None))
    if real == "none":
        _there(tensors.mask)[:] = False
    count, mean, squares = dispatch.channel_sums(tensors.x, tensors.mask)
    expected_count, expected_mean, expected_squares = torch_backend.channel_sums(tensors.x, tensors.mask)
    assert triton._known
    assert count == expected_count
    torch.testing.assert_close(mean, expected_mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(squares, expected_squares, rtol=1e-6, atol=0)
