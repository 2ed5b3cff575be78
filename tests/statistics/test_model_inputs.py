"""Data and examples of users become batches and arguments, or one clear error."""

from collections import UserDict, namedtuple
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from normwise.errors import ArgumentError, ModelError
from normwise.statistics import arguments_of, batches_of
from normwise.statistics.model_inputs import accepted_arguments, unwrapped

#: The default backend takes seconds to import.
COMPILE: Any = partial(torch.compile, backend="eager")
X, LABELS = torch.randn(6, 3), torch.arange(6)


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[Tensor]:
        yield from X


class Encoding(UserDict[str, Any]):
    """As tokenizers give."""

    def to(self, device: str) -> "Encoding":
        return self


class Graph:
    """A batch of another library: iterable, and can be moved."""

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        yield "x", X

    def to(self, device: str) -> "Graph":
        return self


def _generated() -> Iterator[Tensor]:
    yield X
    yield X


ONE = [
    X, X.numpy(), (X, LABELS), [X, LABELS], (X.numpy(), LABELS.numpy()), {"input": X}, Encoding(input=X),
    pack_padded_sequence(torch.randn(4, 2, 3), torch.tensor([4, 2])),
]  # fmt: skip


@pytest.mark.parametrize("data", ONE, ids=lambda data: type(data).__name__)
def test_one_batch_is_one(data: Any) -> None:
    (batch,) = batches_of(data)
    assert batch is data


@pytest.mark.parametrize(
    "data",
    [
        [X, X], X.split(2), [X.numpy(), X.numpy()], [(X, LABELS), (X, LABELS)], [{"input": X}],
        DataLoader(TensorDataset(X), 2),
    ],
    ids=["list", "tuple", "arrays", "pairs", "dicts", "loader"],
)  # fmt: skip
def test_several_batches_are_several(data: Any) -> None:
    assert batches_of(data) is data


@pytest.mark.parametrize(
    "function", [_generated, partial(_generated), lambda: [X, X], lambda: DataLoader(TensorDataset(X, X), 3)],
    ids=["generator", "partial", "list", "loader"],
)  # fmt: skip
def test_a_function_gives_its_batches_anew_each_time(function: Any) -> None:
    batches = batches_of(function)
    assert [len(list(batches)) for _ in range(2)] == [2, 2]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            TensorDataset(X),
            r"TensorDataset is a data set, which gives single samples; pass torch\.utils\.data\.Data",
        ),
        (Stream(), "Stream is a data set.*batch_size=None if it makes batches itself"),
        (3, "expected batches as data, got int"),
        (None, "expected batches as data, got NoneType"),
        ("folder/of/images", "expected batches as data, got str"),
        (Path("folder"), "expected batches as data, got PosixPath|WindowsPath"),
        (
            nn.Sequential(nn.ReLU()),
            "expected batches as data, got Sequential; pass a tensor, a list of batches or",
        ),
        (DataLoader, "expected batches as data, got type"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_is_no_data_is_refused(data: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        batches_of(data)


@pytest.mark.parametrize("function", [lambda: 3, lambda: TensorDataset(X)])
def test_a_function_that_gives_no_batches_is_refused(function: Any) -> None:
    with pytest.raises(ArgumentError, match="the function that was given as data gives"):
        list(batches_of(function))


Pair = namedtuple("Pair", ["images", "labels"])


@pytest.mark.parametrize(
    "batch",
    [X, X.numpy(), X.numpy()[::-1][::-1], X.numpy().astype(">f4"), (X, LABELS), [X.numpy()], Pair(X, LABELS)],
    ids=["tensor", "array", "reversed", "big endian", "tuple", "list", "namedtuple"],
)
def test_the_input_is_the_one_positional_argument(batch: Any) -> None:
    (x,), keywords = arguments_of(batch)
    assert keywords == {}
    assert type(x) is Tensor
    assert torch.equal(x, X)


def test_a_dict_is_the_keyword_arguments() -> None:
    for batch in ({"input": X.numpy(), "flag": None}, Encoding(input=X, flag=None)):
        positional, keywords = arguments_of(batch)
        assert (positional, list(keywords), keywords["flag"]) == ((), ["input", "flag"], None)
        assert torch.equal(keywords["input"], X)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.float64, torch.float32), (np.float32, torch.float32), (np.float16, torch.float16),
        (np.int64, torch.int64), (np.uint8, torch.uint8), (np.bool_, torch.bool),
    ],
)  # fmt: skip
def test_types_of_arrays(dtype: type, expected: torch.dtype) -> None:
    assert arguments_of(np.ones((2, 3), dtype))[0][0].dtype == expected


def test_an_array_is_not_shared() -> None:
    array = np.zeros((2, 3), np.float32)
    array.flags.writeable = False
    arguments_of(array)[0][0].fill_(1)
    assert array.max() == 0


def test_packed_sequences_and_batches_of_others_stay_whole() -> None:
    packed = ONE[-1]
    assert isinstance(packed, PackedSequence)
    graph = Graph()
    for batch in (packed, graph):
        (given,), keywords = arguments_of(batch)
        assert given is batch
        assert keywords == {}


@pytest.mark.parametrize(
    "batch",
    [
        DataLoader(TensorDataset(X)),
        _generated(),
        Stream(),
        TensorDataset(X),
        map(abs, [1]),
        range(3),
        "text",
        {X},
    ],
    ids=lambda batch: type(batch).__name__,
)
def test_many_batches_are_not_one(batch: Any) -> None:
    with pytest.raises(ArgumentError, match=r"got \w+.*; pass one batch: next\("):
        arguments_of(batch)


@pytest.mark.parametrize(
    "batch",
    [None, 3, 2.5, True, _generated, DataLoader, nn.ReLU()],
    ids=["None", "int", "float", "bool", "function", "class", "module"],
)
def test_what_is_no_batch_is_refused(batch: Any) -> None:
    with pytest.raises(ArgumentError, match="expected one batch"):
        arguments_of(batch)


def test_keys_that_are_no_names_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r'0 is not a name; pass \{"input": tensor\}'):
        arguments_of({0: X})


class Named(nn.Module):
    def forward(self, pixels: Tensor, *, scale: float = 1.0) -> Tensor:
        return pixels * scale


class Open(nn.Module):
    def forward(self, pixels: Tensor, **others: Any) -> Tensor:
        return pixels


@pytest.mark.parametrize(
    "wrap",
    [lambda model: model, DataParallel, AveragedModel, COMPILE],
    ids=["none", "DP", "SWA", "compiled"],
)
def test_keys_that_forward_has_not_are_left_out_and_told(wrap: Any) -> None:
    taken, dropped = accepted_arguments(wrap(Named()), {"pixels": X, "labels": LABELS, "scale": 2.0})
    assert list(taken) == ["pixels", "scale"]
    assert dropped == ("labels",)


@pytest.mark.parametrize("wrap", [lambda model: model, DataParallel], ids=["none", "DP"])
def test_a_forward_with_keyword_arguments_of_any_name_gets_all(wrap: Any) -> None:
    taken, dropped = accepted_arguments(wrap(Open()), {"pixels": X, "labels": LABELS})
    assert list(taken) == ["pixels", "labels"]
    assert dropped == ()


def test_a_batch_of_which_no_key_fits_is_refused() -> None:
    with pytest.raises(
        ModelError, match="the batch has the keys 'input', 'labels', and forward takes pixels, scale"
    ):
        accepted_arguments(Named(), {"input": X, "labels": LABELS})


def test_wrappers_are_taken_off() -> None:
    model = Named()
    assert unwrapped(DataParallel(model)) is model
    assert unwrapped(COMPILE(model)) is model
    assert unwrapped(DataParallel(COMPILE(model))) is model
    assert unwrapped(model) is model
