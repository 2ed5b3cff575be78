"""The order in which samples are taken: in a run a function of the seed and nothing else."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from normwise.data.protocols import Samples
from normwise.errors import ArgumentError


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of ``range(count)``, int64 (count,), determined by the three arguments.

    The global random state is neither read nor changed, so that what a network draws (initial weights,
    dropout) does not change the order, nor the other way round.

    Raises:
        ArgumentError: a number is negative.
    """
    if min(count, seed, epoch) < 0:
        raise ArgumentError(f"count={count}, seed={seed}, epoch={epoch}: none may be negative")
    # seed + epoch would make epoch 1 of seed 0 the same as epoch 0 of seed 1.
    mixed = np.random.SeedSequence(seed, spawn_key=(epoch,)).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(mixed[0]))
    return torch.randperm(count, generator=generator)


class BatchOrder:
    """The batches of an endless run over epochs: ``order(step)`` has the indices of batch ``step``.

    Each epoch is shuffled by :func:`epoch_order`, and its incomplete last batch is dropped. Batch
    normalization suffers from such a batch: its few samples give noisy statistics, which yet get the
    same weight in the running statistics as those of a full batch.

    Args:
        count: how many samples there are.
        batch_size: how many of them a batch has.
        seed: of the order, 0 or more.

    Raises:
        ArgumentError: ``batch_size`` is less than 1 or more than ``count``, or ``seed`` is negative.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        if not 1 <= batch_size <= count:
            raise ArgumentError(f"batch_size={batch_size} must be from 1 to the {count} samples there are")
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self._epoch = 0
        self._order = epoch_order(count, seed, 0)

    @property
    def batches_per_epoch(self) -> int:
        """Return the number of full batches in an epoch."""
        return self.count // self.batch_size

    def __call__(self, step: int) -> Tensor:
        """Return the indices of batch ``step``, counted from 0 over all epochs: int64 (batch_size,).

        Steps may be asked for in any order; in ascending order each epoch is shuffled once.

        Raises:
            ArgumentError: ``step`` is negative.
        """
        if step < 0:
            raise ArgumentError(f"step={step} must be 0 or more")
        epoch, batch = divmod(step, self.batches_per_epoch)
        if epoch != self._epoch:
            self._order = epoch_order(self.count, self.seed, epoch)
            self._epoch = epoch
        start = batch * self.batch_size
        # A copy, so that no caller can change the order that later batches are cut from.
        return self._order[start : start + self.batch_size].clone()


class InOrder:
    """All samples of a part in batches, in their order; each iteration reads them again.

    Args:
        samples: Samples to cut into batches.
        batch_size: Number of samples per batch; the last may have fewer.
    """

    def __init__(self, samples: Samples, batch_size: int) -> None:
        self._samples = samples
        self._pieces = torch.arange(len(samples)).split(batch_size)

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return map(self._samples.inputs, self._pieces)
