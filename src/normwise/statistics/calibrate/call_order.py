"""In what order a model calls its BN layers, and which of them feed on themselves."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import NamedTuple


class Block(NamedTuple):
    """Places that are measured together.

    Attributes:
        paths: Which.
        tangled: Whether what they see depends on their own statistics: they are called several times, or in one order
            here and in another there.
        first: Whether no other place is called before them.
    """

    paths: tuple[str, ...]
    tangled: bool
    first: bool


@dataclass
class Execution:
    """Who was called after whom, in all forward passes so far.

    Attributes:
        order: The places, in the order of their first calls.
        follows: Pairs of a place and the one that was called next in the same forward pass.
    """

    order: dict[str, None] = field(default_factory=dict)
    follows: dict[tuple[str, str], None] = field(default_factory=dict)
    _last: str | None = None

    def begin(self) -> None:
        """A forward pass begins."""
        self._last = None

    def called(self, path: str) -> None:
        """A place is called."""
        self.order[path] = None
        if self._last is not None:
            self.follows[self._last, path] = None
        self._last = path

    @staticmethod
    def merged(several: Iterable["Execution"]) -> "Execution":
        """What several processes saw."""
        together = Execution()
        for one in several:
            together.order |= one.order
            together.follows |= one.follows
        return together

    def blocks(self) -> list[Block]:
        """All places, so that what a block sees depends on the blocks before it, and on itself where it is tangled.

        These are the strongly connected components of the graph of who follows whom, each after those that lead to it.
        """
        if not self.order:
            return []
        # Some tenths of a second, which importing normwise need not take.
        import numpy as np
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        number = {path: index for index, path in enumerate(self.order)}
        ends = np.array([(number[one], number[next]) for one, next in self.follows], dtype=np.int64).reshape(
            -1, 2
        )
        edges = coo_array((np.ones(len(ends), dtype=np.int8), tuple(ends.T)), shape=(len(number),) * 2)
        _, labels = connected_components(edges, directed=True, connection="strong")
        label = {path: int(labels[index]) for path, index in number.items()}
        members: dict[int, list[str]] = {}
        for path in self.order:
            members.setdefault(label[path], []).append(path)
        before: dict[int, dict[int, None]] = {own: {} for own in members}
        tangled = {own for own, paths in members.items() if len(paths) > 1}
        for one, following in self.follows:
            if one == following:
                tangled.add(label[one])
            elif label[one] != label[following]:
                before[label[following]][label[one]] = None
        return [
            Block(tuple(members[own]), own in tangled, not before[own])
            for own in TopologicalSorter(before).static_order()
        ]
