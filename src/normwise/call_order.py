"""The order in which a model calls its BN layers, and the cycles in it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import NamedTuple


class Component(NamedTuple):
    """Slots that are measured together: a strongly connected component of the graph of calls.

    Attributes:
        slots: Paths of the slots.
        is_cyclic: Whether their inputs depend on their own statistics: they are called repeatedly, or in varying
            order.
        is_first: Whether no slot of another component is called before these.
    """

    slots: tuple[str, ...]
    is_cyclic: bool
    is_first: bool


@dataclass
class CallOrder:
    """Graph of the order of calls: which slot followed which, in all forward passes so far.

    Attributes:
        slots: Paths of the slots, in the order of their first calls.
        edges: Pairs of a slot and the next called slot in the same forward pass.
    """

    slots: dict[str, None] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    _last: str | None = None

    def begin(self) -> None:
        """Record the beginning of a forward pass."""
        self._last = None

    def add_call(self, slot: str) -> None:
        """Record a call."""
        self.slots[slot] = None
        if self._last is not None:
            self.edges[self._last, slot] = None
        self._last = slot

    @staticmethod
    def merged(several: Iterable["CallOrder"]) -> "CallOrder":
        """Return the graph of the calls in several processes."""
        together = CallOrder()
        for one in several:
            together.slots |= one.slots
            together.edges |= one.edges
        return together

    def components(self) -> list[Component]:
        """Return the strongly connected components in topological order.

        The inputs of a component's slots depend on the components before it, and on its own slots if it is cyclic.
        """
        if not self.slots:
            return []
        # Imported here: it takes some tenths of a second, which importing normwise should not.
        import numpy as np
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        number = {slot: index for index, slot in enumerate(self.slots)}
        ends = np.array([(number[one], number[next]) for one, next in self.edges], dtype=np.int64).reshape(
            -1, 2
        )
        edges = coo_array((np.ones(len(ends), dtype=np.int8), tuple(ends.T)), shape=(len(number),) * 2)
        _, labels = connected_components(edges, directed=True, connection="strong")
        label = {slot: int(labels[index]) for slot, index in number.items()}
        members: dict[int, list[str]] = {}
        for slot in self.slots:
            members.setdefault(label[slot], []).append(slot)
        before: dict[int, dict[int, None]] = {component: {} for component in members}
        cyclic = {component for component, slots in members.items() if len(slots) > 1}
        for one, following in self.edges:
            if one == following:
                cyclic.add(label[one])
            elif label[one] != label[following]:
                before[label[following]][label[one]] = None
        return [
            Component(tuple(members[component]), component in cyclic, not before[component])
            for component in TopologicalSorter(before).static_order()
        ]
