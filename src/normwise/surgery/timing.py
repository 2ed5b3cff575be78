"""How much faster one model evaluates than another."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from normwise.statistics import evaluating

#: So many rounds, and in each so many calls that it takes no less than that; fewer rounds where it takes long.
_ROUNDS, _LEAST_ROUNDS, _SECONDS_A_ROUND, _SECONDS = 25, 3, 0.002, 1.0


def speedup(
    old: nn.Module, new: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[float, float, float]:
    """The old model's time over the new one's, evaluating an example: median, 10th and 90th percentile of rounds.

    Both are called in turn, so that whatever else the machine does meets both.
    """
    device = next((t.device for t in [*new.parameters(), *new.buffers()]), torch.device("cpu"))

    def seconds(model: nn.Module, calls: int) -> float:
        begun = time.perf_counter()
        for _ in range(calls):
            model(*args, **kwargs)
        if device.type not in ("cpu", "meta"):
            torch.accelerator.synchronize(device)
        return time.perf_counter() - begun

    with evaluating(old), evaluating(new), torch.no_grad(), torch.random.fork_rng():
        # The first calls prepare what later ones have; the second ones say how many a round needs.
        single = min(seconds(model, 1) for _ in range(2) for model in (old, new))
        calls = max(1, round(_SECONDS_A_ROUND / max(single, 1e-6)))
        ratios: list[float] = []
        begun = time.perf_counter()
        while len(ratios) < _LEAST_ROUNDS or (
            len(ratios) < _ROUNDS and time.perf_counter() - begun < _SECONDS
        ):
            ratios.append(seconds(old, calls) / seconds(new, calls))
    tenths = statistics.quantiles(ratios, n=10, method="inclusive")
    return statistics.median(ratios), tenths[0], tenths[-1]
