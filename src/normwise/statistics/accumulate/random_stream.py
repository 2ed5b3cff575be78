"""Random streams of parts of a computation that take turns."""

import random

import numpy as np
import torch

from normwise.statistics.preserve.random_state import global_state


class RandomStream:
    """Random numbers of torch, NumPy and Python for one part of a computation.

    Args:
        seed: Seed of the stream.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._restore = self._begin

    def enter(self) -> None:
        """Continue the stream."""
        self._restore()

    def leave(self) -> None:
        """Save the position of the stream."""
        steps = global_state()

        def restore() -> None:
            for step in steps:
                step()

        self._restore = restore

    def rewind(self) -> None:
        """Restart the stream at the next ``enter``."""
        self._restore = self._begin

    def _begin(self) -> None:
        torch.manual_seed(self._seed)
        np.random.seed(self._seed % 2**32)  # noqa: NPY002 (theirs, not ours)
        random.seed(self._seed)
