"""Batches that are read several times."""

import math
import operator
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from normwise.errors import ArgumentError

#: Relative difference below which sums of squares count as those of the same values in another order.
_ROUNDING = 1e-9


def check_max_batches(most: Any) -> None:
    """Raise ArgumentError unless the argument is a number of batches, or None for all."""
    if most is None:
        return
    try:
        number = operator.index(most)
    except TypeError:
        number = 0
    if number < 1 or isinstance(most, bool):
        raise ArgumentError(f"max_batches must be a whole number, at least 1, got {most!r}")


class RepeatedBatches:
    """Batches that each pass reads from the beginning, with a check that all passes read the same.

    Attributes:
        varied: Whether the batches of a pass differed from those of the first.
    """

    def __init__(self, batches: Iterable[Any], most: int | None):
        self.varied = False
        self._batches, self._most = batches, most
        self._first: tuple[int, float] | None = None
        self._count, self._squares = 0, torch.zeros((), dtype=torch.float64)

    def __iter__(self) -> Iterator[Any]:
        self._count, self._squares = 0, torch.zeros((), dtype=torch.float64)
        yield from islice(self._batches, self._most)

    def total(self) -> int | None:
        """Return the number of batches in a pass, if known; a loader's length may warn."""
        try:
            # A loader of a stream has a length only if the stream has one.
            total = len(self._batches) if isinstance(self._batches, Sized) else None
        except (TypeError, NotImplementedError):
            total = None
        return self._most if total is None else total if self._most is None else min(total, self._most)

    def add(self, values: Any) -> None:
        """Record a batch by a summary of its tensors."""
        for tensor in pytree.tree_leaves(values):
            if isinstance(tensor, Tensor) and tensor.layout is torch.strided and not tensor.is_complex():
                self._count += tensor.numel()
                # Metal has no float64.
                values = tensor.cpu() if tensor.device.type == "mps" else tensor
                self._squares = self._squares.to(values.device) + values.double().square().sum()

    def end(self) -> None:
        """Compare the finished pass with the first."""
        found = self._count, self._squares.item()
        if self._first is None:
            self._first = found
        count, squares = self._first
        if found[0] != count or not math.isclose(found[1], squares, rel_tol=_ROUNDING):
            self.varied = True
