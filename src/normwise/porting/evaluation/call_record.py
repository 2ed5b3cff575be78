"""Inputs and outputs of layers in one evaluation of a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from normwise.porting.layers.layer import Layer
from normwise.porting.layers.torch_arrays import Array


@dataclass
class CallRecord:
    """The first call of one layer, with channels and features as the last axis.

    Attributes:
        input: Its input.
        output: Its output, before an activation that the layer applies besides.
        activated: Its output with the activation; None without one.
        last: ``(N, features)``, the state that a recurrent layer ends with; None for others.
        real: Boolean ``(N, L)``, False at the padding of sequences; None without padding.
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
        calls: The layers that were called, by ``id``, in the order of their first calls.
        outputs: What the model returned, leaf by leaf.
    """

    calls: dict[int, CallRecord] = field(default_factory=dict)
    outputs: list[Array] = field(default_factory=list)

    def in_order(self, layers: Sequence[Layer]) -> list[Layer]:
        """Return layers in the order of their calls, and behind them those that were not called."""
        order = {key: number for number, key in enumerate(self.calls)}
        return sorted(layers, key=lambda layer: order.get(id(layer), len(order)))
