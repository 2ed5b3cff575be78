"""A residual net among the deep networks of the claim about trainable depth, on runs that were never made."""

from collections.abc import Callable

import pytest

from normwise.records import ClaimResult, RunConfig, Verdict
from normwise.studies import claims_named, preset_named
from tests.studies.training.conftest import Pretended


@pytest.mark.parametrize(
    ("dense", "residual", "verdict"),
    [
        (0.1, 0.5, "supported"),
        (0.94, 0.94, "not supported"),
        (0.94, 0.5, "depends"),
        (0.1, 0.94, "depends"),
        (0.1, 0.85, "undecided"),
    ],
)
def test_a_residual_net_counts_like_a_dense_one(
    judged: Callable[..., ClaimResult], dense: float, residual: float, verdict: Verdict
) -> None:
    def outcome(config: RunConfig) -> Pretended:
        plain = residual if config.model == "resnet" else dense
        return Pretended((0.95 if config.norm == "batch" else plain) + 0.01 * (config.seed % 2))

    result = judged("trainable_depth", outcome, preset="full")
    assert result.verdict == verdict
    assert [case.name for case in result.cases][-1] == "resnet_20"


@pytest.mark.parametrize("preset", ["full", "gpu"])
def test_without_bn_a_residual_net_differs_in_steps_and_rate_alone(preset: str) -> None:
    (claim,) = claims_named(("trainable_depth",))
    plans = [
        plan
        for plan in claim.cases(preset_named(preset), lambda search: search.rates[0])
        if plan.arms[0].model == "resnet"
    ]
    assert plans
    for plan in plans:
        bn, plain = plan.arms
        own = {"norm": "", "steps": 0, "lr": 0.0, "eval_every": 0}
        assert vars(bn) | own == vars(plain) | own
        assert (plain.steps, bn.options["init"], bn.options["bias"]) == (6 * bn.steps, "he", True)


def test_the_protocol_tells_the_budget_of_each_network() -> None:
    (claim,) = claims_named(("trainable_depth",))
    told = " ".join(claim.protocol(preset_named("full")))
    assert "residual net of 20 layers, 150 steps with BN, 6 times as many without" in told
    assert "20 dense layers, 300 steps with BN, 10 times as many without" in told
