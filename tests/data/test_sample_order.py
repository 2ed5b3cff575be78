import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.data import BatchOrder, epoch_order
from normwise.errors import ArgumentError

SEEDS = st.integers(0, 2**63)


@given(count=st.integers(0, 50), seed=SEEDS, epoch=st.integers(0, 1000))
def test_an_epoch_takes_each_sample_once(count: int, seed: int, epoch: int) -> None:
    assert sorted(epoch_order(count, seed, epoch).tolist()) == list(range(count))


def test_the_order_is_a_function_of_its_arguments_only() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = epoch_order(100, seed=3, epoch=4)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, epoch_order(100, seed=3, epoch=4))


def test_no_two_epochs_and_seeds_share_an_order() -> None:
    orders = {tuple(epoch_order(50, seed, epoch).tolist()) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_batches_cut_each_epoch_and_drop_its_tail() -> None:
    order = BatchOrder(count=10, batch_size=3, seed=5)
    assert order.batches_per_epoch == 3
    first, second = epoch_order(10, 5, 0), epoch_order(10, 5, 1)
    expected = [first[0:3], first[3:6], first[6:9], second[0:3]]
    assert [order(step).tolist() for step in range(4)] == [batch.tolist() for batch in expected]


@given(steps=st.lists(st.integers(0, 30), max_size=10))
def test_steps_may_be_asked_for_in_any_order(steps: list[int]) -> None:
    kept = BatchOrder(10, 3, seed=0)
    assert [kept(s).tolist() for s in steps] == [BatchOrder(10, 3, seed=0)(s).tolist() for s in steps]


def test_a_changed_batch_does_not_change_the_order() -> None:
    order = BatchOrder(4, 2, seed=0)
    before = order(0).tolist()
    order(0).zero_()
    assert order(0).tolist() == before


@pytest.mark.parametrize("batch_size", [0, -1, 5])
def test_a_batch_size_that_cannot_be_is_refused(batch_size: int) -> None:
    with pytest.raises(ArgumentError, match=f"batch_size={batch_size} must be from 1 to the 4 samples"):
        BatchOrder(4, batch_size, seed=0)


@pytest.mark.parametrize(("count", "seed", "epoch"), [(-1, 0, 0), (1, -1, 0), (1, 0, -1)])
def test_negative_numbers_are_refused(count: int, seed: int, epoch: int) -> None:
    with pytest.raises(ArgumentError, match="none may be negative"):
        epoch_order(count, seed, epoch)


def test_a_negative_step_is_refused() -> None:
    with pytest.raises(ArgumentError, match="step=-1"):
        BatchOrder(4, 2, seed=0)(-1)
