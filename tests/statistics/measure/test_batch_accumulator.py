"""An accumulator of batches knows what all values together, and those of each batch, would give."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from normwise.statistics import Moments
from normwise.statistics.measure.batch_accumulator import BatchAccumulator


def _of(batches: list[Tensor]) -> BatchAccumulator:
    found = BatchAccumulator.empty(2)
    for batch in batches:
        found.add(Moments.of(batch))
    return found


def _batches(sizes: list[int], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        100 * number + torch.randn(size, 2, generator=generator, dtype=torch.float64)
        for number, size in enumerate(sizes)
    ]


def _assert_is_of(found: BatchAccumulator, batches: list[Tensor]) -> None:
    values = torch.cat(batches)
    assert found.together.count == len(values)
    within = torch.stack([(batch - batch.mean(0)).square().sum(0) for batch in batches]).sum(0)
    between = torch.stack([len(batch) * (batch.mean(0) - values.mean(0)).square() for batch in batches]).sum(
        0
    )
    total = (values - values.mean(0)).square().sum(0)
    for one, other in ((found.within, within), (found.between, between), (found.together.m2, total)):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-9 * (1 + total.max().item()))
    assert found.freedom == len(values) - len(batches)


# Merging is done some 64 batches at a time.
@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=150),
    at=st.integers(0, 150),
    seed=st.integers(0, 9),
)
def test_however_many_batches_and_in_whatever_parts(sizes: list[int], at: int, seed: int) -> None:
    batches = _batches(sizes, seed)
    _assert_is_of(_of(batches), batches)
    _assert_is_of((_of(batches[:at]) + _of(batches[at:])).cpu(), batches)


def test_a_batch_without_values_is_none() -> None:
    batches = _batches([3, 2], seed=0)
    found = _of([batches[0], torch.empty(0, 2), batches[1]])
    _assert_is_of(found, batches)
    assert found.calls == 2


@pytest.mark.parametrize(
    ("sizes", "lacking"),
    [([], ("population", "batch")), ([1], ("population", "batch")), ([1, 1], ("batch",)), ([2], ())],
)
def test_a_variance_needs_two_values_and_the_batches_own_a_batch_of_two(
    sizes: list[int], lacking: tuple[str, ...]
) -> None:
    found = _of(_batches(sizes, seed=0))
    assert found.lacks("population") == ("population" in lacking)
    assert found.lacks("batch") == ("batch" in lacking)


def test_between_batches_of_one_mean_nothing_scatters() -> None:
    batch = 1e6 + torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    between = _of([batch, batch.flip(0), batch]).between
    assert (between >= 0).all()
    assert between.max() < 1e-9 * batch.var(0).max()
