"""Times of calls on a CPU, by its clock."""

import time
from collections.abc import Callable, Sequence

#: At least so many repetitions, after some that don't count; a short call is repeated within one.
REPETITIONS, WARMING, _LEAST_SECONDS = 15, 2, 2e-3


def interleaved(calls: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Return the seconds of each call, measured in turn, so that what disturbs the machine disturbs all.

    Each turn begins with a call that does not count: what the one before it left in malloc and in the caches is
    another's, and whose turn comes behind whose would decide.
    """
    begun = time.perf_counter()
    for call in calls:
        call()
    once = (time.perf_counter() - begun) / len(calls)
    inner = max(1, round(_LEAST_SECONDS / once))
    columns: list[list[float]] = [[] for _ in calls]
    for _ in range(WARMING + REPETITIONS):
        for column, call in zip(columns, calls, strict=True):
            call()
            begun = time.perf_counter()
            for _ in range(inner):
                call()
            column.append((time.perf_counter() - begun) / inner)
    return [column[WARMING:] for column in columns]
