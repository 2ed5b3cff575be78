"""Places where statistics are kept: a BN layer, or one time step of a layer that has statistics for each."""

from dataclasses import dataclass

from torch import Tensor, nn

from normwise.nn.recurrent import StepBatchNorm
from normwise.statistics.preserve.snapshot import write


@dataclass(frozen=True, eq=False)
class Place:
    """One running mean and variance of a layer.

    Attributes:
        path: That of the layer, with the time step in brackets where it has several: ``lstm.norm_hh_l0[3]``.
        layer, layer_path: The layer, and its path.
        step: The time step; None where the layer has one mean and variance.
    """

    path: str
    layer: nn.Module
    layer_path: str
    step: int | None = None

    @property
    def mean(self) -> Tensor:
        """``(C,)``: the buffer that the layer has now, or a row of it."""
        return self._now("running_mean")

    @property
    def variance(self) -> Tensor:
        """``(C,)``: the buffer that the layer has now, or a row of it."""
        return self._now("running_var")

    def values(self) -> tuple[Tensor, Tensor]:
        """Return copies of mean and variance."""
        return self.mean.clone(), self.variance.clone()

    def put(self, mean: Tensor, variance: Tensor) -> None:
        """Write both into the buffers."""
        write(self.mean, mean)
        write(self.variance, variance)

    def _now(self, name: str) -> Tensor:
        # Looked up each time: a forward pass may assign another tensor to the name.
        buffer = self.layer.get_buffer(name)
        return buffer if self.step is None else buffer[self.step]


def places_of(path: str, layer: nn.Module) -> tuple[Place, ...]:
    """Return the places of a layer, in the order of the steps."""
    if not isinstance(layer, StepBatchNorm):
        return (Place(path, layer, path),)
    return tuple(Place(f"{path}[{step}]", layer, path, step) for step in range(len(layer.running_mean)))


def place_of_statistics(path: str, layer: nn.Module, mean: Tensor | None) -> str | None:
    """Return the path of the layer's place whose running mean a tensor is, in the same memory; None for none."""
    buffer = layer._buffers.get("running_mean")
    if buffer is None or mean is None:
        return None
    if not isinstance(layer, StepBatchNorm):
        return path if _are_one(mean, buffer) else None
    if type(mean) is not Tensor or buffer.stride(0) == 0:
        return None
    step = (mean.data_ptr() - buffer.data_ptr()) // (buffer.stride(0) * buffer.element_size())
    return f"{path}[{step}]" if 0 <= step < len(buffer) and _are_one(mean, buffer[step]) else None


def _are_one(tensor: Tensor, other: Tensor) -> bool:
    return tensor is other or (
        type(tensor) is Tensor
        and (tensor.device, tensor.dtype, tensor.shape) == (other.device, other.dtype, other.shape)
        and tensor.stride() == other.stride()
        and tensor.data_ptr() == other.data_ptr() != 0
    )
