"""The division of positions by sizes, which is one by a reciprocal, is exact."""

import pytest
import torch
import triton
import triton.language as tl

from normwise.kernels.triton.device.tiles import divide


@triton.jit
def _divide(numbers, quotients, rests, divisor, SIZE: tl.constexpr):
    lane = tl.arange(0, SIZE)
    quotient, rest = divide(tl.load(numbers + lane), divisor)
    tl.store(quotients + lane, quotient)
    tl.store(rests + lane, rest)


@pytest.mark.parametrize(
    "divisor",
    [1, 2, 3, 7, 49, 100, 196, 1000, 3136, 12543, 2**16 + 1, 2**20 - 1, 2**24 + 1, 2**30 - 1, 2**30],
)
def test_numbers_about_multiples_of_the_divisor_are_divided_exactly(divisor):
    most = min(2**31 - 1, (2**20 - 1) * divisor) // divisor
    multiples = torch.linspace(0, most, 340, dtype=torch.float64).long() * divisor
    numbers = torch.cat([multiples - 1, multiples, multiples + 1, torch.tensor([0, 1, 2, 3])])
    numbers = numbers.clamp(0, min(2**31 - 1, most * divisor)).int()
    quotients, rests = torch.empty_like(numbers), torch.empty_like(numbers)
    _divide[(1,)](numbers, quotients, rests, divisor, numbers.numel())  # pyright: ignore[reportArgumentType]
    assert torch.equal(quotients, numbers // divisor)
    assert torch.equal(rests, numbers % divisor)
