"""Slots of running statistics: one for a BN layer, or several for a layer with statistics per step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from normwise.layers.kind import kind_of_norm
from normwise.layers.write_tensor import write


@dataclass(frozen=True, eq=False)
class StatisticsSlot:
    """One running mean and variance of a layer.

    Attributes:
        path: Path of the layer, with the row in brackets if it has several slots: ``lstm.norm_hh_l0[3]``.
        layer, layer_path: Layer of the slot, and its path.
        row: Row of the layer's buffers; None if the layer has one mean and variance.
    """

    path: str
    layer: nn.Module
    layer_path: str
    row: int | None = None

    def __str__(self) -> str:
        """Return the class of the layer and the path, for messages."""
        return f"{type(self.layer).__name__} {self.path!r}"

    @property
    def mean(self) -> Tensor:
        """Return the current running mean ``(C,)``: the layer's buffer, or a row of it."""
        return self._now("running_mean")

    @property
    def variance(self) -> Tensor:
        """Return the current running variance ``(C,)``: the layer's buffer, or a row of it."""
        return self._now("running_var")

    def values(self) -> tuple[Tensor, Tensor]:
        """Return copies of mean and variance."""
        return self.mean.clone(), self.variance.clone()

    def put(self, mean: Tensor, variance: Tensor) -> None:
        """Write mean and variance into the buffers."""
        write(self.mean, mean)
        write(self.variance, variance)

    def _now(self, name: str) -> Tensor:
        # Looked up each time: a forward pass may assign another tensor to the name.
        buffer = self.layer.get_buffer(name)
        return buffer if self.row is None else buffer[self.row]


def slots_of(path: str, layer: nn.Module) -> tuple[StatisticsSlot, ...]:
    """Return the slots of a layer, in the order of its rows."""
    if not kind_of_norm(layer).traits.several_slots:
        return (StatisticsSlot(path, layer, path),)
    rows = range(len(layer.get_buffer("running_mean")))
    return tuple(StatisticsSlot(f"{path}[{row}]", layer, path, row) for row in rows)


def mean_of_call(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the running mean that a call of the layer uses: its buffer, or a row of it; None if it keeps none."""
    mean = layer._buffers.get("running_mean")
    if mean is None or not kind_of_norm(layer).traits.several_slots:
        return mean
    return mean[layer.slot_of_call(args, kwargs)]


def slot_of_mean(path: str, layer: nn.Module, mean: Tensor | None) -> str | None:
    """Return the path of the layer's slot whose running mean shares a tensor's memory; None if there is none."""
    buffer = layer._buffers.get("running_mean")
    if buffer is None or mean is None:
        return None
    if not kind_of_norm(layer).traits.several_slots:
        return path if _are_one(mean, buffer) else None
    if type(mean) is not Tensor or buffer.stride(0) == 0:
        return None
    row = (mean.data_ptr() - buffer.data_ptr()) // (buffer.stride(0) * buffer.element_size())
    return f"{path}[{row}]" if 0 <= row < len(buffer) and _are_one(mean, buffer[row]) else None


def _are_one(tensor: Tensor, other: Tensor) -> bool:
    return tensor is other or (
        type(tensor) is Tensor
        and (tensor.device, tensor.dtype, tensor.shape) == (other.device, other.dtype, other.shape)
        and tensor.stride() == other.stride()
        and tensor.data_ptr() == other.data_ptr() != 0
    )
