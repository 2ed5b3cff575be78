from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence

from normwise.errors import ArgumentError
from normwise.functional import sequence_mask


@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=6), more=st.integers(0, 3))
def test_a_row_is_true_as_often_as_its_sequence_is_long_and_at_the_beginning(
    lengths: list[int], more: int
) -> None:
    mask = sequence_mask(torch.tensor(lengths), max(lengths) + more)
    assert mask.shape == (len(lengths), max(lengths) + more)
    assert mask.tolist() == [[position < length for position in range(mask.shape[1])] for length in lengths]


@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_what_was_packed_has_the_rows_in_the_order_that_it_was_given(lengths: list[int]) -> None:
    given_lengths = torch.tensor(lengths)
    padded = torch.zeros(len(lengths), max(lengths), 2)
    packed = pack_padded_sequence(padded, given_lengths, batch_first=True, enforce_sorted=False)
    assert torch.equal(sequence_mask(packed), sequence_mask(given_lengths))


def test_what_was_packed_in_order_needs_no_order_of_its_own() -> None:
    packed = pack_padded_sequence(torch.zeros(5, 2, 1), torch.tensor([5, 2]))
    assert sequence_mask(packed).sum(1).tolist() == [5, 2]


@pytest.mark.parametrize(
    ("lengths", "length", "message"),
    [
        (
            torch.tensor([1.0]),
            None,
            "whole numbers of shape .N,., in a tensor or a list, or a PackedSequence, got torch.float32 of shape",
        ),
        (torch.tensor([[1]]), None, r"got torch.int64 of shape \(1, 1\)"),
        ([1, 2.5], None, "got list"),
        (torch.tensor([True]), None, "got torch.bool"),
        (torch.tensor([3, 5]), 4, "a sequence has the length 5; with 4 positions it must be from 0 to 4"),
        (torch.tensor([3, -1]), 4, "a sequence has the length -1"),
    ],
)
def test_lengths_that_cannot_be_are_one_error(lengths: Any, length: int | None, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        sequence_mask(lengths, length)


def test_lengths_may_be_a_list() -> None:
    assert sequence_mask([2, 0]).tolist() == sequence_mask(torch.tensor([2, 0])).tolist()
