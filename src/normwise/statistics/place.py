"""Where statistics are kept: in a BN layer, or in one that has them for each time step at one of the steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from normwise.nn.recurrent import StepBatchNorm


@dataclass(frozen=True, eq=False)
class Place:
    """One running mean and variance, and whose they are.

    Attributes:
        path: That of the layer, with the time step in brackets where it has several: ``lstm.norm_hh_l0[3]``.
        layer: The layer.
        mean, variance: ``(C,)``, the buffers themselves or rows of them.
    """

    path: str
    layer: nn.Module
    mean: Tensor
    variance: Tensor

    @property
    def both(self) -> tuple[Tensor, Tensor]:
        """Mean and variance."""
        return self.mean, self.variance


def places_of(path: str, layer: nn.Module) -> tuple[Place, ...]:
    """The places of a layer, in the order of the steps."""
    mean, variance = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
    if not isinstance(layer, StepBatchNorm):
        return (Place(path, layer, mean, variance),)
    rows = zip(mean, variance, strict=True)
    return tuple(Place(_at(path, step), layer, *row) for step, row in enumerate(rows))


def place_of_call(path: str, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The path of the place whose statistics a call of the layer uses."""
    if not isinstance(layer, StepBatchNorm):
        return path
    return _at(path, layer.slot(args[1] if len(args) > 1 else kwargs["step"]))


def _at(path: str, step: int) -> str:
    return f"{path}[{step}]"
