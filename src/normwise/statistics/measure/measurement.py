"""The result of a pass over data in which layers were measured."""

from dataclasses import dataclass, field

from normwise.statistics.measure.batch_accumulator import BatchAccumulator
from normwise.statistics.measure.call_order import CallOrder


@dataclass
class Measurement:
    """What the layers of a model normalised in one pass over data.

    A slot is a running mean and variance: that of a layer, by the layer's path, or that of one time step of a layer
    that has statistics for each, ``lstm.norm_hh_l0[3]``.

    Attributes:
        seen: The accumulator of each slot that was measured, by path; empty where the data never reached it.
        call_order: The order in which slots were called.
        reasons: Why it is not known, of some calls or all, what a layer normalises by its running statistics, by path
            of the layer.
        unused: Paths of layers of which a forward pass did not use the running statistics.
        dropped: Keys of the batches that the model's forward has no argument for, and that were left out.
        batches: How many there were.
    """

    seen: dict[str, BatchAccumulator]
    call_order: CallOrder = field(default_factory=CallOrder)
    reasons: dict[str, str] = field(default_factory=dict)
    unused: set[str] = field(default_factory=set)
    dropped: dict[str, None] = field(default_factory=dict)
    batches: int = 0
