"""An identity holds with every seed or does not hold."""

import math
from collections.abc import Sequence

import pytest

from normwise.records import Bilingual, Run, RunConfig
from normwise.studies.arms import Runs, with_seeds
from normwise.studies.case_plan import IdentityPlan
from tests.support.studies.pretended_runs import pretended_run

_ARM = RunConfig("dense_bn", "digits", "batch", 5, 20, 0.1, 0, 5)
_SEEDS = (22, 23, 24)


def _found(deviations: Sequence[float]) -> tuple[str, float]:
    def deviation(run: Run) -> float:
        return deviations[run.config.seed - _SEEDS[0]]

    plan = IdentityPlan(
        "case", Bilingual("a case", "情形"), "dense", (_ARM,), deviation, "deviation", "", rounding=1e-6
    )
    runs = Runs([pretended_run(config) for config in with_seeds(_ARM, _SEEDS)], _SEEDS, {})
    case = plan.result(runs)
    return case.outcome, case.effect.estimate


@pytest.mark.parametrize("odd", [0, 1, 2])
@pytest.mark.parametrize("value", [1e-3, math.inf])
def test_one_seed_that_deviates_refutes_it(odd: int, value: float) -> None:
    assert _found([value if seed == odd else 1e-9 for seed in range(3)]) == ("refuted", value)


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_a_deviation_that_is_no_number_refutes_it(odd: int) -> None:
    outcome, worst = _found([math.nan if seed == odd else 1e-9 for seed in range(3)])
    assert outcome == "refuted"
    assert math.isnan(worst)


def test_with_rounding_alone_it_holds() -> None:
    assert _found([1e-9, 0.0, 1e-7]) == ("shown", 1e-7)
