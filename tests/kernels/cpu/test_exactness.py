"""Against the float64 oracle, where precision is lost easily: never worse than torch's own, but for the last digit."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from normwise.kernels import Call, autograd
from normwise.kernels.cpu.backend import CpuBackend
from tests.support.kernels.exactness import INPUTS, ULP, assert_no_worse_than_torch, batch, compute

pytestmark = pytest.mark.usefixtures("kernels")

SHAPES = {
    "planes": ((8, 3, 13, 11), torch.contiguous_format),
    "short rows": ((33, 20, 7, 7), torch.contiguous_format),
    "channels last": ((8, 37, 9, 5), torch.channels_last),
    "narrow channels last": ((8, 5, 9, 7), torch.channels_last),
    "(N, C)": ((301, 19), torch.contiguous_format),
    "one long row": ((1, 2, 40_000), torch.contiguous_format),
}


def by_kernels(activation: str | None) -> Callable[..., Tensor]:
    def function(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        call = Call(x, mean, var, weight, bias, training=True, momentum=1.0, activation=activation)
        assert CpuBackend().covers(call)
        return autograd.batch_norm(CpuBackend(), call)

    return function


def assert_no_worse(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor, activation: str | None) -> None:
    # Sums of bfloat16 are in float32, a few elements at a time (csrc/channel/sums.h): where terms cancel, the error is
    # small beside the terms, and not beside what is left. The narrower the vectors, the longer the sums of a lane.
    float32_sums = x.dtype == torch.bfloat16
    function = by_kernels(activation)
    assert_no_worse_than_torch(function, x, weight, bias, grad, activation, float32_sums=float32_sums)


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("layout", SHAPES)
def test_adversarial_input_is_as_exact_as_with_torch(layout: str, kind: str) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=0)
    assert_no_worse(INPUTS[kind](x), weight, bias, grad, None)


def test_padding_where_the_kernels_look_for_the_mean_costs_no_digit() -> None:
    x = torch.randn(8, 3, 40, generator=torch.Generator().manual_seed(3)) + 1e6
    mask = torch.ones(8, 40, dtype=torch.bool)
    mask[::2, ::10] = False
    mean, var = torch.zeros(3), torch.zeros(3)
    call = Call(x, mean, var, training=True, momentum=1.0, mask=mask)
    assert CpuBackend().covers(call)
    CpuBackend().forward(call)
    values = x.double().movedim(1, 0)[:, mask]
    torch.testing.assert_close(var, values.var(1).float(), rtol=2 * ULP, atol=0)


@pytest.mark.parametrize("layout", SHAPES)
def test_squares_beyond_float32_do_no_harm(layout: str) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=2)
    usual, enormous = (
        compute(by_kernels(None), t, weight, bias, grad)[0] for t in (x * 2.0**20, x * 2.0**80)
    )
    np.testing.assert_allclose(enormous, usual, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", SHAPES)
def test_relu_is_as_exact_as_with_torch(layout: str) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=1)
    assert_no_worse(x, weight, bias, grad, "relu")


def test_ten_million_elements_a_channel() -> None:
    x = torch.randn(1, 1, 10_000_000, generator=torch.Generator().manual_seed(0)) + 1e4
    assert_no_worse(x, torch.ones(1), torch.zeros(1), torch.randn_like(x), None)


@pytest.mark.large
@pytest.mark.parametrize("shape", [(1, 1, 100_000_000), (100_000_000, 1)], ids=["one row", "(N, C)"])
def test_hundred_million_elements_a_channel(shape: tuple[int, ...]) -> None:
    """As the oracle has it, a part at a time: in float64 at once it would take 10 GB."""
    generator = torch.Generator().manual_seed(0)
    x, grad = torch.randn(shape, generator=generator) + 1e4, torch.randn(shape, generator=generator)
    ours = compute(by_kernels(None), x, torch.ones(1), torch.zeros(1), grad)
    parts = [slice(i, i + 5_000_000) for i in range(0, x.numel(), 5_000_000)]

    def part(values: Tensor, where: slice) -> np.ndarray:
        return values.view(-1)[where].double().numpy()

    count = x.numel()
    mean = sum(part(x, p).sum() for p in parts) / count
    var = sum(np.square(part(x, p) - mean).sum() for p in parts) / count
    inv_std = 1 / np.sqrt(var + 1e-5)
    grad_bias = sum(part(grad, p).sum() for p in parts)
    grad_weight = sum((part(grad, p) * (part(x, p) - mean)).sum() for p in parts) * inv_std
    totals = (grad_weight, grad_bias, mean, var * count / (count - 1))
    for got, exact in zip(ours[2:], totals, strict=True):
        assert abs(got.item() - exact) <= ULP * abs(exact)
    for p in parts:
        normalised = (part(x, p) - mean) * inv_std
        grad_x = inv_std * (part(grad, p) - (grad_bias + normalised * grad_weight) / count)
        for got, exact in zip((ours[0], ours[1]), (normalised, grad_x), strict=True):
            assert np.abs(got.ravel()[p] - exact).max() <= 4 * ULP


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    st.integers(1, 9),
    st.integers(1, 40),
    st.lists(st.integers(1, 20), max_size=3),
    st.sampled_from([0.0, 3.0, 1e3, 1e6]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.integers(0, 2**16),
)
def test_any_shape_is_as_exact_as_with_torch(
    n: int, c: int, rest: list[int], mean: float, channels_last: bool, dtype: torch.dtype, seed: int
) -> None:
    shape = (n, c, *rest)
    if n * int(np.prod(rest)) < 2:
        return
    formats = {4: torch.channels_last, 5: torch.channels_last_3d} if channels_last else {}
    x, weight, bias, grad = batch(shape, formats.get(len(shape), torch.contiguous_format), seed)
    assert_no_worse((x + mean).to(dtype), weight, bias, grad.to(dtype), None)


def test_gradients_of_bfloat16_that_cancel_are_exact_beside_their_terms() -> None:
    """With vectors of four floats, the sum of products is off by 22 units of what is left, and torch's by 3."""
    x, weight, bias, grad = batch((1, 12, 2, 19), torch.contiguous_format, seed=0)
    assert_no_worse(x.bfloat16(), weight, bias, grad.bfloat16(), None)
