"""Result of a pass over data that measured layers."""

from dataclasses import dataclass, field

from normwise.call_order import CallOrder
from normwise.layers import StatisticsSlot
from normwise.records import VarianceKind
from normwise.statistics.measure.batch_accumulator import BatchAccumulator


@dataclass
class Measurement:
    """Statistics of the inputs of a model's norm layers in one or several passes over data.

    A slot is a running mean and variance: of a layer, named by the layer's path, or of one time step of a layer
    with statistics for each step, ``lstm.norm_hh_l0[3]``.

    Attributes:
        seen: Accumulator of each measured slot, by path; empty if the data never reached the slot.
        call_order: Order in which slots were called, in the first pass.
        reasons: Reason why some or all inputs that a layer normalises by its running statistics are unknown, by
            path of the layer.
        unused: Paths of layers whose forward pass did not use the running statistics.
        dropped: Keys of the batches that were left out since the model's forward has no such argument.
        batches: Number of batches.
    """

    seen: dict[str, BatchAccumulator]
    call_order: CallOrder = field(default_factory=CallOrder)
    reasons: dict[str, str] = field(default_factory=dict)
    unused: set[str] = field(default_factory=set)
    dropped: dict[str, None] = field(default_factory=dict)
    batches: int = 0

    def reason_against(self, slot: StatisticsSlot, kind: VarianceKind) -> str:
        """Return why there are no statistics of a slot's inputs; empty if there are.

        Args:
            slot: Measured slot.
            kind: Requested kind of variance.
        """
        seen = self.seen[slot.path]
        if seen.together.count == 0:
            if reason := self.reasons.get(slot.layer_path):
                return reason
            unused = slot.layer_path in self.unused
            return (
                "its forward pass does not use its running statistics"
                if unused
                else "the data never reach it"
            )
        if seen.lacks(kind):
            return "it sees fewer than two values a channel" + (" in any batch" if kind == "batch" else "")
        return ""

    def update(self, later: "Measurement") -> None:
        """Add the results of a later pass over the same data; order and reasons stay those of the first."""
        self.seen |= later.seen
        self.call_order = self.call_order if self.call_order.slots else later.call_order
        self.reasons = later.reasons | self.reasons
        self.unused |= later.unused
        self.dropped |= later.dropped
        self.batches = later.batches
