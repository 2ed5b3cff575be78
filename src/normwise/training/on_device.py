"""The device of a run: its name, its settings, and data on it."""

from collections.abc import Iterator
from contextlib import contextmanager

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
    """Isolate a run's random numbers, and disable TensorFloat-32 in its float32 computations.

    On a GPU, cuDNN would convolve with TensorFloat-32, which keeps 10 bits, and try out algorithms during the run.
    Some of torch's operators sum in no fixed order on a GPU, such as the gradient of max-pooling; their last digits
    still differ from run to run.
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


class _SamplesOnDevice:
    """Samples whose batches and labels are on a device."""

    def __init__(self, samples: Samples, device: str):
        self.labels = samples.labels.to(device)
        self._samples, self._device = samples, device

    def __len__(self) -> int:
        return len(self._samples)

    def inputs(self, index: Tensor) -> dict[str, Tensor]:
        """Return a batch as the keyword arguments of a network's ``forward``."""
        return {name: tensor.to(self._device) for name, tensor in self._samples.inputs(index).items()}


class DataOnDevice:
    """Labelled data whose batches are copied to a device on request.

    Attributes:
        name: Name of the data set.
        training: Training part.
        test: Test part.
    """

    def __init__(self, data: LabelledData, device: str):
        self.name = data.name
        self.training: Samples = _SamplesOnDevice(data.training, device)
        self.test: Samples = _SamplesOnDevice(data.test, device)
        self._data, self._device = data, device

    @property
    def input_spec(self) -> InputSpec:
        """Format of the inputs, and names of the classes."""
        return self._data.input_spec

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the data."""
        return self._data.sha256

    def subset(
        self, train: int | None = None, test: int | None = None, *, draw: int | None = None
    ) -> "DataOnDevice":
        """Return a part of the data; see :class:`normwise.data.LabelledData`."""
        return DataOnDevice(self._data.subset(train, test, draw=draw), self._device)

    def for_tuning(self) -> "DataOnDevice":
        """Return the training part, with a fifth of it as the test part."""
        return DataOnDevice(self._data.for_tuning(), self._device)

    def to(self, dtype: torch.dtype) -> "DataOnDevice":
        """Return the data in another floating-point dtype."""
        return DataOnDevice(self._data.to(dtype), self._device)
