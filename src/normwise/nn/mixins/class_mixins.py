"""Classes that are made on demand: something put before a layer's own class, which stays beneath."""

import operator
from functools import cache, reduce
from typing import Any, SupportsIndex

from torch import nn


class Derived(nn.Module):
    """Base of what is put before a layer's own class, so that ``isinstance`` holds and the ``state_dict`` stays.

    The class of the result can't be imported; its instances are copied and pickled by what it is made of.
    """

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        _, _, *state = super().__reduce_ex__(max(2, operator.index(protocol)))
        return _empty, made_of(type(self)), *state


@cache
def derived(before: type[Derived], kind: type[nn.Module]) -> type[nn.Module]:
    """``kind`` with ``before`` put before it; the same class each time."""
    attributes = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(f"{before.__name__}{kind.__name__}", (before, kind), attributes)


def made_of(kind: type[nn.Module]) -> tuple[type[nn.Module], ...]:
    """What was put before, outermost first, and the class that it was put before."""
    parts: list[type[nn.Module]] = []
    # Only :func:`derived` has a part as the first base, and in none of them is it one itself.
    while issubclass(kind.__bases__[0], Derived) and Derived in kind.__bases__[0].__bases__:
        parts.append(kind.__bases__[0])
        kind = kind.__bases__[1]
    return (*parts, kind)


def _empty(*parts: Any) -> nn.Module:
    kind = reduce(lambda kind, before: derived(before, kind), reversed(parts[:-1]), parts[-1])
    return kind.__new__(kind)
