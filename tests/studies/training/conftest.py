"""Claims about training, by name, on runs that were never made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from normwise.records import ClaimResult, RunConfig
from normwise.studies import claims_named
from tests.support.studies import pretended_runs


@dataclass(frozen=True)
class Pretended:
    """Outcome of a run; ``measured`` is what each of its measures gave at every evaluation."""

    accuracy: float = 0.95
    reaches: int = 0
    diverged: bool = False
    dips_to: float | None = None
    measured: Any = None


#: A step with BN takes twice the time.
_COST = {"step": {"batch": 2.0, "none": 1.0}}


@pytest.fixture
def judged() -> Callable[..., ClaimResult]:
    """Return the outcome of the claim of a name, whose runs go as ``outcome(config)`` says."""

    def judge(name: str, outcome: Callable[[RunConfig], Pretended], *, preset: str = "quick") -> ClaimResult:
        def of_run(config: RunConfig) -> Mapping[str, Any]:
            went = dict(vars(outcome(config)))
            measured = dict.fromkeys(config.measures, went.pop("measured"))
            end = {"cost": _COST} if "cost" in config.measures else {}
            return {**went, "points": lambda step: measured, "end": end}

        (claim,) = claims_named((name,))
        return pretended_runs.judged(claim, of_run, preset)

    return judge
