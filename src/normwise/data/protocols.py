"""Protocols of data that a training loop needs, for images, speech or text."""

from typing import Literal, Protocol

import torch
from torch import Tensor

from normwise.records import InputSpec

#: The part of a data set that a sample belongs to.
DataPart = Literal["train", "test"]


class Samples(Protocol):
    """One part of a data set: labelled samples that a network takes in batches."""

    @property
    def labels(self) -> Tensor:
        """int64 (N,), indices into the classes."""
        ...

    def __len__(self) -> int: ...

    def inputs(self, index: Tensor) -> dict[str, Tensor]:
        """Return a batch as the keyword arguments of a network's ``forward``.

        Args:
            index: int64 (n,): which samples, in the order that the batch has them.
        """
        ...


class LabelledData(Protocol):
    """A data set in a training and a test part."""

    @property
    def name(self) -> str:
        """Return the name of the data set in tables, figures and errors."""
        ...

    @property
    def training(self) -> Samples:
        """Return the training part."""
        ...

    @property
    def test(self) -> Samples:
        """Return the test part."""
        ...

    @property
    def input_spec(self) -> InputSpec:
        """Return the preparation of the inputs, and the names of the classes."""
        ...

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of inputs, labels and class names: equal for equal data, wherever it lies."""
        ...

    def subset(
        self, train: int | None = None, test: int | None = None, *, draw: int | None = None
    ) -> "LabelledData":
        """Return the data with the first ``train`` training and ``test`` test samples; None keeps them all.

        With the seed ``draw`` the training samples are drawn, in place of the first ones.
        """
        ...

    def for_tuning(self) -> "LabelledData":
        """Return the training part alone, a fifth of each class of it in place of the test part."""
        ...

    def to(self, dtype: torch.dtype) -> "LabelledData":
        """Return the data in another floating-point dtype; integers are unchanged."""
        ...
