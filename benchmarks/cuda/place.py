"""The device that a section runs on, the size of its work, and the time that it has."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from normwise.benchmark.clock import interleaved
from normwise.benchmark.gpu_clock import event_seconds, gpu_seconds, host_seconds

Calls = Sequence[Callable[[], object]]


@dataclass(frozen=True)
class Place:
    """Place and time of a section.

    Attributes:
        device: ``"cuda"``, or ``"cpu"`` in a dry run.
        tiny: Whether shapes are small and few, as in a dry run.
        ends: When the section must have ended, by ``time.monotonic()``.
        part: Number of this process among those that share the section's cases, and how many they are.
    """

    device: str
    tiny: bool
    ends: float
    part: tuple[int, int] = (0, 1)

    @property
    def on_gpu(self) -> bool:
        """True where the device is a GPU."""
        return self.device != "cpu"

    @property
    def kind(self) -> str:
        """The device without its number, as autocast wants it."""
        return torch.device(self.device).type

    def has(self, seconds: float) -> bool:
        """Return whether so many seconds are left; a dry run always has them."""
        return self.tiny or time.monotonic() + seconds < self.ends

    def gpu_alone(self, calls: Calls) -> list[list[float]]:
        """Return the seconds of each call as a replayed CUDA graph."""
        return gpu_seconds(calls) if self.on_gpu else interleaved(calls)

    def called(self, calls: Calls) -> list[list[float]]:
        """Return the seconds of each call as it is called from Python."""
        return event_seconds(calls) if self.on_gpu else interleaved(calls)

    def host(self, calls: Calls) -> list[list[float]]:
        """Return the seconds that each call takes the host."""
        return host_seconds(calls) if self.on_gpu else interleaved(calls)

    def wait(self) -> None:
        """Wait for the GPU."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def allocated(self) -> int:
        """Return the bytes that tensors take on the GPU."""
        return torch.cuda.memory_allocated() if self.on_gpu else 0

    def release(self) -> None:
        """Give memory that no tensor takes back to the GPU."""
        if self.on_gpu:
            torch.cuda.empty_cache()
