"""Inputs and outputs of layers in one evaluation of a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from normwise.porting.layers.layer import Layer
from normwise.porting.layers.torch_arrays import Array


@dataclass
class CallRecord:
    """The first call of one layer, with channels and features as the last axis.

    Attributes:
        input: Input of the layer.
        output: Output of the layer, before its own activation, if it has one.
        activated: Output with the activation; None without one.
        last: Last state of a recurrent layer, ``(N, features)``; None for others.
        real: Mask of sequences, boolean ``(N, L)``, False at padding; None without padding.
    """

    input: Array
    output: Array | None
    activated: Array | None = None
    last: Array | None = None
    real: Array | None = None


@dataclass
class ModelRecord:
    """An evaluation of a model.

    Attributes:
        calls: Calls of the layers, by ``id``, in the order of the first calls.
        outputs: Outputs of the model, as flat list.
    """

    calls: dict[int, CallRecord] = field(default_factory=dict)
    outputs: list[Array] = field(default_factory=list)

    def in_order(self, layers: Sequence[Layer]) -> list[Layer]:
        """Return layers in the order of their calls, followed by those that were not called."""
        order = {key: number for number, key in enumerate(self.calls)}
        return sorted(layers, key=lambda layer: order.get(id(layer), len(order)))
