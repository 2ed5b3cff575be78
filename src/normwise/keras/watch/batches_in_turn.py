"""Batches of data, one after the other, beginning again at the end."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from normwise.errors import ArgumentError
from normwise.keras.surgery.calibrate.batches import (
    Data,
    array_leaf,
    arrays_of,
    batch_source,
    number_of_samples,
)


class BatchesInTurn:
    """Inputs of a model, a batch for each call of :meth:`next_batch`.

    Arrays are shuffled, as ``fit`` does by default, by a generator of their own, and cut into full batches. Batches
    of other data come in their order.
    """

    def __init__(self, data: Data, inputs: int, batch_size: int) -> None:
        """Prepare the data.

        Args:
            data: Data, see :func:`normwise.keras.calibrate`.
            inputs: Number of inputs of the model.
            batch_size: Number of samples per batch that is cut from arrays.

        Raises:
            ArgumentError: the data are no batches.
        """
        arrays = arrays_of(data, inputs)
        if arrays is None:
            self._make = batch_source(data, inputs, batch_size, ends=True)
        else:
            random = np.random.default_rng(0)
            self._make = lambda: _shuffled(arrays, batch_size, random)
        self._batches: Iterator[Any] = iter(())

    def next_batch(self) -> Any:
        """Return the next batch, as arrays.

        Raises:
            ArgumentError: the data have no batch.
        """
        try:
            batch = next(self._batches)
        except StopIteration:
            self._batches = iter(self._make())
            try:
                batch = next(self._batches)
            except StopIteration:
                raise ArgumentError(
                    "the data of WatchCallback have no batches; expected one at least"
                ) from None
        return keras.tree.map_structure(array_leaf, batch)

    def end(self) -> None:
        """Let go of what reads the data, such as the processes of a DataLoader."""
        self._batches = iter(())


def check_read_again(data: Data) -> None:
    """Raise ArgumentError if data can be read only once, which is too little for a training."""
    if isinstance(data, Iterator):
        raise ArgumentError(
            f"data is of type {type(data).__name__}, which can be read only once, and a training is longer; pass a "
            "function that makes it, or a list of its batches"
        )


def _shuffled(x: Any, batch_size: int, random: np.random.Generator) -> Iterator[Any]:
    """Yield full batches of samples in random order; of fewer samples than a batch has, all of them."""
    samples = number_of_samples(x)
    order = random.permutation(samples)
    size = min(batch_size, samples)
    for start in range(0, samples - size + 1, max(size, 1)):
        rows = order[start : start + size]
        if len(rows):
            yield keras.tree.map_structure(lambda leaf, rows=rows: array_leaf(leaf)[rows], x)
