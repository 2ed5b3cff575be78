"""Running statistics of each process's own samples, merged for evaluation and kept in checkpoints."""

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
    """Running statistics of a model in each process: local in training, merged in evaluation.

    After an evaluation or a checkpoint each process gets its own statistics back, so a run does not depend on how
    often it is saved.

    Args:
        model: Trained network.
        processes: Processes of the run.
        group: Process group of the processes that have samples; None for all.
        samples: Number of samples of a batch in this process.

    Attributes:
        gathered: Statistics of every process at the last merge, for a checkpoint.
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
        """Give every process the merged statistics; restore its own afterwards, also after an exception."""
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
        """Restore this process's own statistics from a checkpoint of as many processes; else keep the merged ones."""
        expected = (self._processes.count, len(self._flat()))
        if every is not None and every.dtype == torch.float64 and tuple(every.shape) == expected:
            self._fill(every[self._processes.rank])

    def _flat(self) -> Tensor:
        """Return all statistics in one tensor; float64 holds each value exactly."""
        return torch.cat([buffer.double().reshape(-1) for buffer in self._buffers])

    def _fill(self, flat: Tensor) -> None:
        parts = flat.split([buffer.numel() for buffer in self._buffers])
        for buffer, part in zip(self._buffers, parts, strict=True):
            buffer.copy_(part.reshape(buffer.shape))
