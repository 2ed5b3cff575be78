"""Context that restores the states of random generators."""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_OF_NUMPY = (np.random.Generator, np.random.RandomState)
_Restore = Callable[[], object]
#: Most objects, and most items of a container, in the search for generators: a data set may hold millions.
_MOST_OBJECTS, _MOST_ITEMS = 10_000, 100


@contextmanager
def random_state_kept(holder: Any = None) -> Iterator[Callable[[], None]]:
    """Restore the random state afterwards; yield a function that resets it to the beginning in between.

    This covers the global generators of torch, NumPy and Python, which loaders and augmentations draw from, and
    those within ``holder``, such as a loader's own.
    """
    restores = [*global_state(), *(_of(generator) for generator in generators_of(holder))]

    def restore() -> None:
        for one in restores:
            one()

    try:
        yield restore
    finally:
        restore()


def global_state() -> list[_Restore]:
    """Return functions that reset the global generators of torch, NumPy and Python to their current states."""
    restores: list[_Restore] = [
        partial(torch.set_rng_state, torch.get_rng_state()),
        partial(np.random.set_state, np.random.get_state()),  # noqa: NPY002 (theirs, not ours)
        partial(random.setstate, random.getstate()),
    ]
    if torch.cuda.is_initialized():
        restores.append(partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    return restores


def _of(generator: Any) -> _Restore:
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    if isinstance(generator, np.random.RandomState):
        return partial(generator.set_state, generator.get_state())
    return partial(setattr, generator.bit_generator, "state", generator.bit_generator.state)


def generators_of(holder: Any) -> list[Any]:
    """Return the random generators reachable from an object through attributes and closures."""
    found: list[Any] = []
    queue: deque[Any] = deque([holder])
    seen: dict[int, Any] = {}  # keep the objects, too: an id is unique only during their lifetime
    while queue and len(seen) < _MOST_OBJECTS:
        value = queue.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, (torch.Generator, random.Random, *_OF_NUMPY)):
            if not isinstance(value, random.SystemRandom):
                found.append(value)
        else:
            queue.extend(_parts(value))
    return found


def _parts(value: Any) -> Iterable[Any]:
    if value is None or isinstance(value, (str, bytes, int, float, Tensor, np.ndarray, nn.Module, type)):
        return ()
    if isinstance(value, Mapping):
        return list(value.values()) if len(value) <= _MOST_ITEMS else ()
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return value if len(value) <= _MOST_ITEMS else ()
    if isinstance(value, MethodType):
        return (value.__self__,)
    if isinstance(value, partial):
        return (value.func, *value.args, *value.keywords.values())
    parts: list[Any] = []
    if isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # the name has no value yet
                parts.append(cell.cell_contents)
    with suppress(Exception):  # the user's object may return anything
        parts.extend(vars(value).values())
    return parts
