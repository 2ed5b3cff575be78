"""The result of a pass over data in which layers were measured."""

from dataclasses import dataclass, field

from normwise.call_order import CallOrder
from normwise.layers import StatisticsSlot
from normwise.records import VarianceKind
from normwise.statistics.measure.batch_accumulator import BatchAccumulator


@dataclass
class Measurement:
    """Statistics of what the layers of a model normalised in one pass over data, or several.

    A slot is a running mean and variance: that of a layer, by the layer's path, or that of one time step of a layer
    that has statistics for each, ``lstm.norm_hh_l0[3]``.

    Attributes:
        seen: The accumulator of each slot that was measured, by path; empty where the data never reached it.
        call_order: The order in which slots were called; that of the first pass, if there were several.
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

    def reason_against(self, slot: StatisticsSlot, kind: VarianceKind) -> str:
        """Return why there are no statistics of what a slot normalises; empty where there are.

        Args:
            slot: One that was measured.
            kind: The variance that is wanted.
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
        """Take over what a later pass over the same data found; order and reasons stay those that were found first."""
        self.seen |= later.seen
        self.call_order = self.call_order if self.call_order.slots else later.call_order
        self.reasons = later.reasons | self.reasons
        self.unused |= later.unused
        self.dropped |= later.dropped
        self.batches = later.batches
