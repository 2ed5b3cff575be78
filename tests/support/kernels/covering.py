"""Few cases of a large product of values, in which every pair of values occurs."""

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any


def covering(
    factors: Mapping[str, Sequence[Any]],
    possible: Callable[[Mapping[str, Any]], bool],
    cases: int,
) -> list[dict[str, Any]]:
    """Return so many different cases of the product, the same ones each time.

    Each is the one of some random cases with the most triples of values that no case before it had.

    Args:
        factors: Values of each factor.
        possible: Whether there is such a case.
        cases: Their number.
    """
    generator = random.Random(0)
    groups = list(combinations(factors, 3))
    chosen: list[dict[str, Any]] = []
    taken: set[tuple[int, ...]] = set()
    met: set[tuple[Any, ...]] = set()

    def triples(indices: Mapping[str, int]) -> set[tuple[Any, ...]]:
        return {(group, *(indices[name] for name in group)) for group in groups}

    while len(chosen) < cases:
        best, news = None, -1
        for _ in range(30):
            indices = {name: generator.randrange(len(values)) for name, values in factors.items()}
            if tuple(indices.values()) in taken or not possible(
                {name: factors[name][i] for name, i in indices.items()}
            ):
                continue
            new = len(triples(indices) - met)
            if new > news:
                best, news = indices, new
        if best is not None:
            taken.add(tuple(best.values()))
            met |= triples(best)
            chosen.append({name: factors[name][i] for name, i in best.items()})
    return chosen
