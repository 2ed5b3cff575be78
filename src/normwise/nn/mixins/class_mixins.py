"""Classes made on demand from a mixin and a layer's own class."""

import operator
from functools import cache, reduce
from typing import Any, SupportsIndex

from torch import nn


class Derived(nn.Module):
    """Base of mixins before a layer's own class, which keep ``isinstance`` and the ``state_dict``.

    The resulting class can't be imported; its instances are copied and pickled by mixin and original class.
    """

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        _, _, *state = super().__reduce_ex__(max(2, operator.index(protocol)))
        return _empty, made_of(type(self)), *state


@cache
def derived(before: type[Derived], kind: type[nn.Module]) -> type[nn.Module]:
    """Return the class of the mixin ``before`` and ``kind``; the same class each time."""
    attributes = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(f"{before.__name__}{kind.__name__}", (before, kind), attributes)


def made_of(kind: type[nn.Module]) -> tuple[type[nn.Module], ...]:
    """Return the mixins of a class, outermost first, and the original class."""
    parts: list[type[nn.Module]] = []
    # Only classes made by :func:`derived` have a mixin as first base; a mixin itself has none.
    while issubclass(kind.__bases__[0], Derived) and Derived in kind.__bases__[0].__bases__:
        parts.append(kind.__bases__[0])
        kind = kind.__bases__[1]
    return (*parts, kind)


def _empty(*parts: Any) -> nn.Module:
    kind = reduce(lambda kind, before: derived(before, kind), reversed(parts[:-1]), parts[-1])
    return kind.__new__(kind)
