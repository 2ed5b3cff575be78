"""Labelled sequences of different lengths, kept without padding and given out in padded batches."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from normwise.errors import DataError


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences, one behind the other, with a label each.

    Attributes:
        values: floating (total, F), frames of F features; or int64 (total,), tokens. ``total`` is the sum of the
            lengths.
        lengths: int64 (N,), each 1 or more.
        labels: Class of each sequence, int64 (N,).

    Raises:
        DataError: these do not fit together.
    """

    values: Tensor = field(repr=False)
    lengths: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.lengths) == 0:
            raise DataError("there are no sequences; expected one at least")
        if int(self.lengths.min()) < 1:
            raise DataError(f"sequence {int(self.lengths.argmin())} is empty; leave it out")
        if len(self.labels) != len(self.lengths):
            raise DataError(f"there are {len(self.lengths)} sequences but {len(self.labels)} labels")
        if len(self.values) != int(self.lengths.sum()):
            raise DataError(
                f"there are {len(self.values)} values, but the lengths add up to {int(self.lengths.sum())}"
            )

    @staticmethod
    def of(pieces: list[Tensor], labels: list[int]) -> "Sequences":
        """Return the sequences in a list, each (L, F) or (L,)."""
        if not pieces:
            raise DataError("there are no sequences; expected one at least")
        lengths = torch.tensor([len(piece) for piece in pieces])
        return Sequences(torch.cat(pieces), lengths, torch.tensor(labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Tensor:
        """One sequence, without padding: (L, F) or (L,)."""
        return self._pieces[number]

    def inputs(self, index: Tensor) -> dict[str, Tensor]:
        """Return a batch: ``sequences`` (n, L, F) or (n, L), 0 after the end of each, and their ``lengths`` (n,).

        L is the longest of these n.
        """
        chosen = [self._pieces[number] for number in index.tolist()]
        return {"sequences": pad_sequence(chosen, batch_first=True), "lengths": self.lengths[index]}

    def first(self, count: int | None) -> "Sequences":
        """Return the first ``count`` samples, or all."""
        if count is None:
            return self
        lengths = self.lengths[:count]
        return Sequences(self.values[: int(lengths.sum())], lengths, self.labels[:count])

    def chosen(self, numbers: list[int]) -> "Sequences":
        """Return the sequences of these numbers, in this order."""
        return Sequences.of([self[number] for number in numbers], self.labels[numbers].tolist())

    def to(self, dtype: torch.dtype) -> "Sequences":
        """With frames in another floating type; tokens stay what they are."""
        if not self.values.is_floating_point() or self.values.dtype == dtype:
            return self
        return replace(self, values=self.values.to(dtype))

    @cached_property
    def _pieces(self) -> tuple[Tensor, ...]:
        return self.values.split(self.lengths.tolist())
