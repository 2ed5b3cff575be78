"""Sequences of different lengths: batches, parts, digests, and what does not fit."""

from typing import Any

import pytest
import torch

from normwise.data import InOrder, SequenceData, Sequences, load_data
from normwise.errors import DataError
from normwise.records import InputSpec

FRAMES = [torch.full((length, 2), float(length)) for length in (3, 1, 2)]


def _data(**changes: Any) -> SequenceData:
    fields: dict[str, Any] = {
        "name": "three",
        "training": Sequences.of(FRAMES, [0, 1, 1]),
        "test": Sequences.of(FRAMES[:1], [0]),
        "input_spec": InputSpec("speech", (2,), ("a", "b"), rate=8000),
    }
    return SequenceData(**(fields | changes))


def test_a_batch_is_padded_to_its_own_longest_with_zeros() -> None:
    batch = Sequences.of(FRAMES, [0, 1, 1]).inputs(torch.tensor([1, 2]))
    assert batch["lengths"].tolist() == [1, 2]
    assert batch["sequences"].tolist() == [[[1.0, 1.0], [0.0, 0.0]], [[2.0, 2.0], [2.0, 2.0]]]


def test_tokens_are_padded_with_the_number_of_padding() -> None:
    tokens = Sequences.of([torch.tensor([5, 6]), torch.tensor([7])], [0, 1])
    assert tokens.inputs(torch.tensor([1, 0]))["sequences"].tolist() == [[7, 0], [5, 6]]
    assert torch.equal(tokens[0], torch.tensor([5, 6]))


def test_batches_in_order_have_each_once_and_can_be_read_again() -> None:
    batches = InOrder(Sequences.of(FRAMES, [0, 1, 1]), 2)
    assert len(batches) == 2
    assert [batch["lengths"].tolist() for batch in batches] == [[3, 1], [2]]
    assert len(list(batches)) == 2


def test_a_subset_is_the_first_of_each_part() -> None:
    data = _data().subset(train=2)
    assert data.training.lengths.tolist() == [3, 1]
    assert data.training.values.shape == (4, 2)
    assert len(data.test) == 1
    with pytest.raises(DataError, match="three: 4 training sequences asked for; it must be from 1 to 3"):
        _data().subset(train=4)


def test_another_type_is_of_frames_alone() -> None:
    assert _data().to(torch.float64).training.values.dtype == torch.float64
    text = load_data("text", "phrases").to(torch.float64)
    assert text.training.values.dtype == torch.int64


def test_the_digest_is_of_all_that_there_is() -> None:
    others = [
        _data(training=Sequences.of(FRAMES, [0, 1, 0])),
        _data(training=Sequences.of([FRAMES[0] + 1, *FRAMES[1:]], [0, 1, 1])),
        _data(input_spec=InputSpec("speech", (2,), ("a", "c"), rate=8000)),
    ]
    assert len({_data().sha256, *(other.sha256 for other in others)}) == 4
    assert _data().sha256 == _data().sha256


@pytest.mark.parametrize(
    ("values", "lengths", "labels", "message"),
    [
        ((3, 2), [1, 1], [0, 1], "there are 3 values, but the lengths add up to 2"),
        ((2, 2), [2, 0], [0, 1], "sequence 1 is empty"),
        ((2, 2), [1, 1], [0], "there are 2 sequences but 1 labels"),
        ((0, 2), [], [], "there are no sequences"),
    ],
)
def test_what_does_not_fit_is_one_error(
    values: tuple[int, int], lengths: list[int], labels: list[int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Sequences(torch.zeros(values), torch.tensor(lengths), torch.tensor(labels))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"test": Sequences.of([torch.zeros(2, 3)], [0])},
            r"frames of the test part have the shape \(3,\), expected",
        ),
        (
            {"test": Sequences.of([torch.tensor([2])], [0])},
            "the test part has tokens that are not from 0 to 1",
        ),
        ({"test": Sequences.of(FRAMES[:1], [2])}, "the test part has labels that are not from 0 to 1"),
    ],
)
def test_parts_that_do_not_fit_the_preparation_are_one_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"three: {message}"):
        _data(**changes)


@pytest.mark.parametrize(
    "load",
    [lambda: load_data("speech", "tones"), lambda: load_data("text", "phrases")],
    ids=["tones", "phrases"],
)
def test_made_up_sets_are_the_same_in_every_call_and_have_all_classes(load: Any) -> None:
    first = load()
    assert load().sha256 == first.sha256
    for part in (first.training, first.test):
        counts = part.labels.bincount(minlength=len(first.input_spec.classes))
        assert counts.min() > 0.4 * counts.max()


def test_made_up_speech_can_be_split_by_who_sings() -> None:
    data = load_data("speech", "tones", split="speaker", speaker="bass")
    assert len(data.training) + len(data.test) == 1100
    assert 150 < len(data.test) < 400
