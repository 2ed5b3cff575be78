"""Moments of parts merge into those of the whole."""

from functools import reduce
from itertools import pairwise
from operator import add
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from normwise.errors import MaskError, ShapeError
from normwise.statistics import Moments

SCALE = torch.tensor([1.0, 1e-3, 1e4], dtype=torch.float64)
SPLITS = st.lists(st.integers(0, 200), max_size=12)


def _values(count: int, seed: int, offset: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return SCALE * (offset + torch.randn(count, 3, generator=generator, dtype=torch.float64))


def _parts(values: Tensor, cuts: list[int]) -> list[Moments]:
    """Of the pieces between the cuts, some of which are empty."""
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    return [Moments.of(values[start:end]) for start, end in pairwise(edges)]


def _assert_same(got: Moments, expected: Moments, offset: float) -> None:
    assert got.count == expected.count
    torch.testing.assert_close(got.mean / SCALE, expected.mean / SCALE, rtol=1e-13, atol=1e-13)
    # Of numbers near the offset a deviation is known to no more than the offset's own rounding.
    known = 1e-12 + 1e-15 * abs(offset)
    unit = expected.count * SCALE**2
    torch.testing.assert_close(got.m2 / unit, expected.m2 / unit, rtol=known, atol=known)


@given(
    count=st.integers(2, 200),
    cuts=SPLITS,
    seed=st.integers(0, 1000),
    offset=st.sampled_from([0.0, 1.0, 1e3, -1e6]),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
def test_any_split_in_any_order_merges_to_one_pass(
    count: int, cuts: list[int], seed: int, offset: float, order: Random
) -> None:
    values = _values(count, seed, offset)
    parts = _parts(values, cuts)
    order.shuffle(parts)
    _assert_same(reduce(add, parts), Moments.of(values), offset)


@given(cuts=SPLITS, seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 1e6]))
@settings(max_examples=50, deadline=None)
def test_merging_is_associative(cuts: list[int], seed: int, offset: float) -> None:
    left, *rest = _parts(_values(100, seed, offset), cuts)
    from_the_right = reduce(lambda tail, head: head + tail, reversed([left, *rest]))
    _assert_same(reduce(add, rest, left), from_the_right, offset)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_one_element_at_a_time(offset: float) -> None:
    values = _values(500, 0, offset)
    _assert_same(reduce(add, map(Moments.of, values.split(1))), Moments.of(values), offset)


@pytest.mark.parametrize("offset", [0.0, 2.0**20, -(2.0**20)])
def test_one_pass_is_what_torch_computes_of_the_centred_values(offset: float) -> None:
    # Powers of two, so that subtracting them again is exact.
    values = offset + torch.randn(1000, 3, dtype=torch.float64)
    moments, centred = Moments.of(values), values - offset
    torch.testing.assert_close(moments.mean, offset + centred.mean(0), rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(moments.unbiased_variance, centred.var(0), rtol=1e-9, atol=0)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 4)], ids=str)
def test_the_channel_is_axis_1_of_any_number_of_axes(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, dtype=torch.float64)
    moments, others = Moments.of(values), [axis for axis in range(len(shape)) if axis != 1]
    assert moments.count == values.numel() // 3
    torch.testing.assert_close(moments.mean, values.mean(others))
    torch.testing.assert_close(moments.unbiased_variance, values.var(others))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_of_lower_precision_they_are_computed_in_float64(dtype: torch.dtype) -> None:
    # In the precision itself the mean of so many numbers near 1000 would be rounded.
    values = (1000 + torch.randn(3000, 2)).to(dtype)
    assert Moments.of(values).mean.dtype == torch.float64
    torch.testing.assert_close(Moments.of(values).mean, values.double().mean(0), rtol=1e-14, atol=0)


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64])
@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (40, 3, 7, 9), (3, 40, 20, 20)], ids=str)
def test_a_mask_leaves_out_whatever_padding_holds(
    shape: tuple[int, ...], dtype: torch.dtype, last: bool
) -> None:
    torch.manual_seed(0)
    values, mask = (5 + 3 * torch.randn(shape)).to(dtype), torch.rand(shape[0], *shape[2:]) < 0.7
    if last:
        values = values.movedim(1, -1).contiguous().movedim(-1, 1)
    expected = Moments.of(values.movedim(1, -1)[mask].double())
    if dtype.is_floating_point:
        values = torch.where(mask.unsqueeze(1), values, torch.nan)
    found = Moments.of(values, mask)
    assert found.count == mask.sum()
    # Squares of bfloat16 are added up in float32, a few at a time.
    rtol = 1e-6 if dtype is torch.bfloat16 else 1e-12
    torch.testing.assert_close(found.mean, expected.mean, rtol=rtol, atol=0)
    torch.testing.assert_close(found.m2, expected.m2, rtol=rtol, atol=0)


@pytest.mark.parametrize(
    ("values", "mask", "error", "text"),
    [
        (torch.zeros(3), None, ShapeError, r"expected values of shape \(N, C, \*\), got \(3,\)"),
        (
            torch.zeros(3, 2),
            torch.ones(3, 2, dtype=torch.bool),
            MaskError,
            r"expected a boolean mask of shape \(3,\)",
        ),
        (torch.zeros(3, 2), torch.ones(3), MaskError, r"got torch.float32 of shape \(3,\)"),
    ],
)
def test_wrong_values_and_masks_are_refused(
    values: Tensor, mask: Tensor | None, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Moments.of(values, mask)


@given(cuts=SPLITS, seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 1e6]))
@settings(max_examples=50, deadline=None)
def test_merging_all_at_once_is_merging_one_after_the_other(
    cuts: list[int], seed: int, offset: float
) -> None:
    parts = _parts(_values(100, seed, offset), cuts)
    _assert_same(Moments.merge(parts), reduce(add, parts), offset)


def test_nothing_merges_with_nothing() -> None:
    nothing = Moments.of(torch.empty(0, 3)) + Moments.of(torch.empty(4, 3, 0))
    assert (nothing.count, nothing.mean.tolist(), nothing.m2.tolist()) == (0, [0.0] * 3, [0.0] * 3)


def test_nothing_needs_not_be_on_the_device_of_what_it_is_merged_with() -> None:
    # As calibrate starts; the meta device stands for an accelerator.
    nothing, something = Moments.of(torch.empty(0, 3)), Moments.of(torch.empty(5, 3, device="meta"))
    assert (nothing + something).mean.device.type == "meta"


def test_constant_values_have_no_variance() -> None:
    parts = [Moments.of(torch.full((n, 2), 0.1)) for n in (3, 1, 7)]
    assert reduce(add, parts).unbiased_variance.tolist() == [0.0, 0.0]


def test_they_keep_no_graph() -> None:
    assert not Moments.of(torch.randn(4, 2, requires_grad=True)).mean.requires_grad
