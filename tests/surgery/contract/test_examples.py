"""Examples that all operations take alike, and those that are refused with what to pass instead."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import normwise
from normwise.errors import ArgumentError, ModelError

X = torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(0))
LABELS = torch.zeros(8, dtype=torch.long)
DATA = TensorDataset(X, LABELS)


class _Model(nn.Module):
    def __init__(self, *, norm: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.second(self.norm(self.first(pixels)).relu())


_OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "accelerate": lambda example: normwise.accelerate(_Model(), example, timed=False),
    "convert": lambda example: normwise.convert(_Model(), "group", example=example),
    "fold": lambda example: normwise.fold(_Model().eval(), example, timed=False),
    "insert": lambda example: normwise.insert(_Model(norm=False), example, data=example),
    "calibrate": lambda example: normwise.calibrate(_Model(), example),
    "diagnose": lambda example: normwise.diagnose(_Model(), example),
}


def _batches() -> Iterator[Tensor]:
    yield X


_TAKEN = {
    "an array": X.numpy(),
    "an array of float64": X.double().numpy(),
    "a tuple with labels": (X, LABELS),
    "a dict with labels": {"pixels": X, "labels": LABELS},
    "a dict of arrays": {"pixels": X.numpy(), "labels": LABELS.numpy()},
}


@pytest.mark.parametrize("operation", list(_OPERATIONS))
@pytest.mark.parametrize("example", list(_TAKEN))
def test_a_batch_is_taken(operation: str, example: str) -> None:
    _OPERATIONS[operation](_TAKEN[example])


_REFUSED = {
    "a loader": (DataLoader(DATA, 4), r"got DataLoader; pass one batch: next\(iter\(loader\)\)"),
    "a data set": (
        DATA,
        r"got TensorDataset, a data set; .* next\(iter\(DataLoader\(dataset, ",
    ),
    "a generator function": (_batches, r"got function; pass one batch: next\(_batches\(\)\)"),
    "a generator": (_batches(), r"got generator; pass one batch: next\(batches\)"),
}


@pytest.mark.parametrize("operation", ["accelerate", "convert", "fold", "insert"])
@pytest.mark.parametrize("example", list(_REFUSED))
def test_what_holds_batches_is_refused_with_what_to_pass(operation: str, example: str) -> None:
    given, text = _REFUSED[example]
    with pytest.raises(ArgumentError, match=text):
        _OPERATIONS[operation](given)


@pytest.mark.parametrize("operation", ["accelerate", "convert", "fold", "insert", "calibrate", "diagnose"])
def test_keys_of_which_forward_has_none_are_named_with_those_that_it_has(operation: str) -> None:
    with pytest.raises(ModelError, match="the batch has the keys 'images', and forward takes pixels"):
        _OPERATIONS[operation]({"images": X})
