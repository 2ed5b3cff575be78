"""Running statistics of several processes, of which each has those of its own samples: merged for a while, and kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from normwise.layers import layers_with_statistics
from normwise.statistics import merge_statistics
from normwise.training.parallel.processes import Processes

#: Name of the entry of a checkpoint with every process's own statistics.
ENTRY = "local_statistics"


class LocalStatistics:
    """The running statistics of a model in each process: its own while it trains, and merged where it is evaluated.

    After an evaluation or a checkpoint each process has its own again: a run does not depend on how often it is saved.

    Args:
        model: Network that is trained.
        processes: Processes that train it.
        group: Process group of those that have samples; None for all.
        samples: How many samples of a batch this process has.

    Attributes:
        gathered: Statistics of every process as they were last merged, for a checkpoint.
    """

    def __init__(self, model: nn.Module, processes: Processes, group: Any, samples: int):
        self._model, self._processes, self._group, self._samples = model, processes, group, samples
        self._buffers: list[Tensor] = [
            buffer
            for layer in layers_with_statistics(model).values()
            for buffer in (layer.running_mean, layer.running_var, layer.num_batches_tracked)
        ]
        self.gathered: dict[str, Tensor] = {}

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Give every process the merged statistics; afterwards its own, also after an exception."""
        own = self._flat()
        self.gathered = {ENTRY: torch.stack(self._processes.gather(own))}
        try:
            if self._samples:
                merge_statistics(self._model, self._group, samples=self._samples)
            if self._group is not None:
                for buffer in self._buffers:
                    self._processes.copy_from_first(buffer)
            yield
        finally:
            self._fill(own)

    def restore(self, every: Tensor | None) -> None:
        """Give this process its own statistics of a checkpoint of as many processes; else it has the merged ones."""
        expected = (self._processes.count, len(self._flat()))
        if every is not None and every.dtype == torch.float64 and tuple(every.shape) == expected:
            self._fill(every[self._processes.rank])

    def _flat(self) -> Tensor:
        """Return all in one tensor: float64 holds each of them exactly."""
        return torch.cat([buffer.double().reshape(-1) for buffer in self._buffers])

    def _fill(self, flat: Tensor) -> None:
        parts = flat.split([buffer.numel() for buffer in self._buffers])
        for buffer, part in zip(self._buffers, parts, strict=True):
            buffer.copy_(part.reshape(buffer.shape))
