"""A union of batches in one process: each is computed by a thread, and the threads wait for each other."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from normwise.kernels.torch_backend.primitives import ChannelMoments


class ThreadUnion:
    """A :class:`normwise.kernels.merged.Merger` of each of ``size`` threads.

    Attributes:
        meetings: Names of what the threads exchanged, in order.
    """

    def __init__(self, size: int) -> None:
        self._barrier = threading.Barrier(size, self._take, timeout=60)
        self._given: dict[int, Any] = {}
        self._taken: list[Any] = []
        self.meetings: list[str] = []

    def _take(self) -> None:
        self._taken, self._given = [self._given[key] for key in sorted(self._given)], {}

    def _exchange(self, name: str, own: Any) -> list[Any]:
        self._given[threading.get_ident()] = own
        if self._barrier.wait() == 0:
            self.meetings.append(name)
        return self._taken

    def abort(self) -> None:
        """Let nobody wait any longer."""
        self._barrier.abort()

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        """Return the moments of the union."""
        given = self._exchange("moments", own)
        count = torch.stack([part.count for part in given]).sum()
        shares = [part.count / count.clamp(min=1) for part in given]
        mean = sum((share * part.mean for share, part in zip(shares, given, strict=True)), torch.tensor(0.0))
        variance = sum(
            (
                share * (part.variance + (part.mean - mean).square())
                for share, part in zip(shares, given, strict=True)
            ),
            torch.tensor(0.0),
        )
        return ChannelMoments(count, mean, variance)

    def gradient_sums(self, own: Tensor) -> Tensor:
        """Return the gradients of the moments, added up."""
        return torch.stack(self._exchange("gradients", own)).sum(0)


def in_threads(work: Callable[[int, ThreadUnion], Any], size: int) -> tuple[list[Any], ThreadUnion]:
    """Return what ``work(part, union)`` returned in each of ``size`` threads, and their union."""
    union = ThreadUnion(size)

    def run(part: int) -> Any:
        try:
            return work(part, union)
        except BaseException:
            union.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(run, part) for part in range(size)]
        return [future.result() for future in futures], union


def cut(tensor: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Return consecutive samples, so many each, as leaves in the tensor's memory order."""
    parts = tensor.detach().split(list(sizes))
    return [
        part.clone(memory_format=torch.preserve_format).requires_grad_(part.is_floating_point())
        for part in parts
    ]
