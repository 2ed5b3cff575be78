"""A random stream of its own for each of several parts of a computation that take turns."""

import random

import numpy as np
import torch

from normwise.statistics.preserve.random_state import global_state


class RandomStream:
    """The random numbers of torch, NumPy and Python that one part of a computation draws.

    Args:
        seed: Where the stream begins.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._restore = self._begin

    def enter(self) -> None:
        """Go on with the stream where it was left."""
        self._restore()

    def leave(self) -> None:
        """Keep where the stream is."""
        steps = global_state()

        def restore() -> None:
            for step in steps:
                step()

        self._restore = restore

    def rewind(self) -> None:
        """Go back to the beginning at the next ``enter``."""
        self._restore = self._begin

    def _begin(self) -> None:
        torch.manual_seed(self._seed)
        np.random.seed(self._seed % 2**32)  # noqa: NPY002 (theirs, not ours)
        random.seed(self._seed)
