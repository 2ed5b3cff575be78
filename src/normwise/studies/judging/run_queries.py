"""Finished runs by what they were asked for, and their numbers."""

from collections.abc import Callable, Sequence
from typing import Any

from normwise.records import Result, Run


def gains(better: Sequence[Run], worse: Sequence[Run], value: Callable[[Run], float]) -> list[float]:
    """By how many percentage points a value of some runs is above that of others, for each seed."""
    return [100 * (value(one) - value(other)) for one, other in zip(better, worse, strict=True)]


def select(runs: Sequence[Run], **wanted: Any) -> list[Run]:
    """Return the runs whose configuration or network options have these values, in the order of seeds."""
    chosen = [run for run in runs if all(_field(run, name) == value for name, value in wanted.items())]
    return sorted(chosen, key=lambda run: run.config.seed)


def result(run: Run) -> Result:
    """Return the run's result; a claim is only judged when all its runs have one."""
    if run.result is None:
        raise ValueError(f"run {run.config.key} has not ended")
    return run.result


def final_accuracy(run: Run) -> float:
    """Test accuracy after the last step."""
    return result(run).test_accuracy


def _field(run: Run, name: str) -> Any:
    return getattr(run.config, name) if hasattr(run.config, name) else run.config.options.get(name)
