"""The device that a run is computed on: its name, its settings, and the data that a network there takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from normwise.data import LabelledData, Samples
from normwise.errors import ArgumentError
from normwise.records import InputSpec


def check_device(device: str) -> None:
    """Raise ArgumentError unless the device is the CPU, or a CUDA device that torch sees."""
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise ArgumentError(
            f"unknown device {device!r}; known are cpu, cuda, or cuda with a number, such as cuda:1"
        )
    if device != "cpu" and not torch.cuda.is_available():
        raise ArgumentError(f"device={device} needs a CUDA device; torch sees none")


@contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Keep a run's random numbers to itself, and compute in float32 where float32 is asked for.

    On a GPU cuDNN would convolve with TensorFloat-32, of which 10 bits are left, and try out algorithms while a run
    goes on. Sums that torch's operators make in no fixed order, such as the gradient of max-pooling, still differ in
    their last digits from run to run there.
    """
    if device == "cpu":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.random.fork_rng(devices=[torch.device(device)]), exact:
        yield


def on_device(data: LabelledData, device: str) -> LabelledData:
    """Return the data with batches on a device."""
    return data if device == "cpu" else DataOnDevice(data, device)


@dataclass(frozen=True)
class _SamplesOnDevice:
    """Samples whose batches and labels are on a device."""

    samples: Samples
    device: str

    @cached_property
    def labels(self) -> Tensor:
        return self.samples.labels.to(self.device)

    def __len__(self) -> int:
        return len(self.samples)

    def inputs(self, index: Tensor) -> dict[str, Tensor]:
        return {name: tensor.to(self.device) for name, tensor in self.samples.inputs(index).items()}


@dataclass(frozen=True)
class DataOnDevice:
    """Labelled data, of which each batch is copied to a device when it is asked for."""

    data: LabelledData
    device: str

    @property
    def name(self) -> str:
        """Name of the set."""
        return self.data.name

    @cached_property
    def training(self) -> Samples:
        """The training part."""
        return _SamplesOnDevice(self.data.training, self.device)

    @cached_property
    def test(self) -> Samples:
        """The test part."""
        return _SamplesOnDevice(self.data.test, self.device)

    @property
    def input_spec(self) -> InputSpec:
        """Form of the inputs, and the names of the classes."""
        return self.data.input_spec

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the data."""
        return self.data.sha256

    def subset(
        self, train: int | None = None, test: int | None = None, *, draw: int | None = None
    ) -> "DataOnDevice":
        """Return a part of the data; see :class:`normwise.data.LabelledData`."""
        return DataOnDevice(self.data.subset(train, test, draw=draw), self.device)

    def for_tuning(self) -> "DataOnDevice":
        """Return the training part alone, a fifth of it as the test part."""
        return DataOnDevice(self.data.for_tuning(), self.device)

    def to(self, dtype: torch.dtype) -> "DataOnDevice":
        """Return the data in another floating type."""
        return DataOnDevice(self.data.to(dtype), self.device)
