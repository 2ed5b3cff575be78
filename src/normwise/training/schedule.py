"""Steps after which a run is evaluated."""

import math
from functools import lru_cache

from normwise.records import RunConfig


def is_evaluated(config: RunConfig, step: int) -> bool:
    """Return whether a run is evaluated after a number of steps, besides its end."""
    if not config.eval_growth:
        return step % config.eval_every == 0
    return step in _growing(config.steps, config.eval_every, config.eval_growth)


@lru_cache(maxsize=8)
def _growing(steps: int, apart: int, growth: float) -> frozenset[int]:
    """Return steps from 0, each larger than the last by a fraction of it, and by a minimum."""
    found, step = {0}, 0
    while step < steps:
        step = max(step + apart, math.ceil(step * (1 + growth)))
        found.add(step)
    return frozenset(found)
