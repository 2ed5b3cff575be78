"""Running statistics of several processes, of which each has those of its own samples: merged for a while, and kept."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from normwise.layers import layers_with_statistics
from normwise.training.parallel.processes import Processes

#: Name of the entry of a checkpoint with every process's own statistics.
ENTRY = "local_statistics"


class LocalStatistics:
    """The running statistics of a model in each process: its own while it trains, and merged where it is evaluated.

    A mean is the mean over the processes, and a variance has the variance between them, both weighted with the samples
    that a process has seen. After the evaluation each process has its own again, so that a run does not depend on how
    often it was saved.

    Args:
        model: Network that is trained.
        processes: Processes that train it.
        samples: How many samples of a batch this process has.

    Attributes:
        gathered: Statistics of every process as they were last merged, for a checkpoint.
    """

    def __init__(self, model: nn.Module, processes: Processes, samples: int):
        self._processes = processes
        self._buffers = [
            (layer.running_mean, layer.running_var, layer.num_batches_tracked)
            for layer in layers_with_statistics(model).values()
        ]
        shares = processes.gather(torch.tensor([samples], dtype=torch.float64))
        self._samples = torch.cat(shares)
        self.gathered: dict[str, Tensor] = {}

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Give every process the merged statistics; afterwards its own, also after an exception."""
        own = self._flat()
        every = torch.stack(self._processes.gather(own))
        self.gathered = {ENTRY: every}
        self._fill(self._merge(every))
        try:
            yield
        finally:
            self._fill(own)

    def restore(self, every: Tensor | None) -> None:
        """Give this process its own statistics of a checkpoint of as many processes; else it has the merged ones."""
        expected = (self._processes.count, sum(len(part) for part in self._parts()))
        if every is not None and every.dtype == torch.float64 and tuple(every.shape) == expected:
            self._fill(every[self._processes.rank])

    def _parts(self) -> list[Tensor]:
        return [buffer.double().reshape(-1) for buffers in self._buffers for buffer in buffers]

    def _flat(self) -> Tensor:
        return torch.cat(self._parts())

    def _fill(self, flat: Tensor) -> None:
        parts = flat.split([len(part) for part in self._parts()])
        for buffer, part in zip((one for three in self._buffers for one in three), parts, strict=True):
            buffer.copy_(part.reshape(buffer.shape))

    def _merge(self, every: Tensor) -> Tensor:
        """Merge a row of statistics a process into one."""
        merged: list[Tensor] = []
        columns = iter(every.split([len(part) for part in self._parts()], dim=1))
        for _, _, counter in self._buffers:
            means, variances, batches = (next(columns) for _ in range(3))
            shape = (len(every), counter.numel(), -1)
            means, variances = means.reshape(shape), variances.reshape(shape)
            seen = batches * self._samples[:, None]
            # Where no process has seen a batch, all have the same.
            weights = torch.where(seen.sum(0) > 0, seen, torch.ones_like(seen))[:, :, None]
            total = weights.sum(0)
            center = (weights * means).sum(0) / total
            spread = (weights * (variances + (means - center).square())).sum(0) / total
            merged += [center.reshape(-1), spread.reshape(-1), batches.amax(0)]
        return torch.cat(merged)
