"""Grids of parameters: some cases of a full product in every run, the others only by ``pytest -m exhaustive``."""

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

#: Values by the name that they have in the test's name.
Values = Mapping[str, Any]

TRAINING: Values = {"train": True, "eval": False}


def grid(factors: Mapping[str | tuple[str, ...], Values], strength: int = 3) -> Any:
    """Return a mark that runs a test with the full product of the factors' values.

    A default run has cases enough for every ``strength`` values of different factors to occur together in one of
    them; the remaining cases are marked ``exhaustive``.

    Args:
        factors: Values of each argument of the test. Several arguments that vary together are one factor, whose
            values are tuples. ``implementation`` is the fixture of that name.
        strength: Number of factors whose values are all combined.
    """
    names = [name for factor in factors for name in ([factor] if isinstance(factor, str) else factor)]
    chosen = _covering([len(values) for values in factors.values()], strength)
    cases = []
    for index, labels in enumerate(product(*factors.values())):
        arguments = []
        for (factor, values), label in zip(factors.items(), labels, strict=True):
            arguments += [values[label]] if isinstance(factor, str) else values[label]
        marks = () if index in chosen else pytest.mark.exhaustive
        cases.append(pytest.param(*arguments, id="-".join(labels), marks=marks))
    return pytest.mark.parametrize(names, cases, indirect=[n for n in names if n == "implementation"])


def _covering(sizes: list[int], strength: int) -> set[int]:
    """Return the cases of a product that have every combination of values of ``strength`` factors among them.

    The case with the most combinations that no case before it had comes next, until none is left.
    """
    cases = np.array(list(product(*map(range, sizes))))
    groups = list(combinations(range(len(sizes)), min(strength, len(sizes))))
    # A number for each combination of values, no two groups of factors having one in common.
    numbers = np.empty((len(cases), len(groups)), dtype=np.int64)
    total = 0
    for column, group in enumerate(groups):
        shape = [sizes[factor] for factor in group]
        numbers[:, column] = total + np.ravel_multi_index(list(cases[:, group].T), shape)
        total += int(np.prod(shape))
    missing = np.ones(total, dtype=bool)
    chosen: set[int] = set()
    while missing.any():
        best = int(missing[numbers].sum(1).argmax())
        chosen.add(best)
        missing[numbers[best]] = False
    return chosen
