"""The order in which a model calls its BN layers, and the cycles in it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        label = _strong_components(self.slots, self.edges)
        members: dict[str, list[str]] = {}
        for slot in self.slots:
            members.setdefault(label[slot], []).append(slot)
        before: dict[str, dict[str, None]] = {component: {} for component in members}
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


def _strong_components(slots: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return for each slot the root of its strongly connected component.

    Reference: Sharir 1981, A strong-connectivity algorithm and its applications in data flow analysis (Kosaraju's
    algorithm).
    """
    following: dict[str, list[str]] = {slot: [] for slot in slots}
    preceding: dict[str, list[str]] = {slot: [] for slot in following}
    for one, next in edges:
        following[one].append(next)
        preceding[next].append(one)
    seen: set[str] = set()
    finished = [slot for root in following for slot in _depth_first(root, following, seen)]
    label: dict[str, str] = {}
    seen = set()
    for root in reversed(finished):
        label |= dict.fromkeys(_depth_first(root, preceding, seen), root)
    return label


def _depth_first(root: str, neighbours: Mapping[str, Sequence[str]], seen: set[str]) -> Iterator[str]:
    """Yield the unseen slots that ``root`` reaches, each after the slots that it reaches itself."""
    if root in seen:
        return
    seen.add(root)
    # An explicit stack, since a model can have more layers than Python allows nested calls.
    path = [(root, iter(neighbours[root]))]
    while path:
        slot, rest = path[-1]
        for next in rest:
            if next not in seen:
                seen.add(next)
                path.append((next, iter(neighbours[next])))
                break
        else:
            path.pop()
            yield slot
