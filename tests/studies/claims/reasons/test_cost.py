"""Verdicts on what BN costs."""

from collections.abc import Callable
from typing import Any

import pytest

from normwise.records import ClaimResult, RunConfig, Verdict
from normwise.studies.claims.reasons.cost import CostMemory, CostMemoryReason, CostTime

Judge = Callable[..., ClaimResult]


def _outcome(
    kept: float = 2.0, statistics: float = 1.0, seconds: float = 1.2, of_convolutions: float | None = None
) -> Callable[[RunConfig], dict[str, Any]]:
    """Return ratios of bytes and seconds, and the share of statistics in percent; times another in one network."""

    def outcome(config: RunConfig) -> dict[str, Any]:
        other = of_convolutions if of_convolutions and config.model == "mnist_cnn" else 1.0
        wobble = 1 + 0.002 * (config.seed % 3)
        return {
            "end": {
                "cost": {
                    "bytes": {"batch": 1000 * kept * other, "none": 1000},
                    "statistics": statistics * other * 10 * (kept - 1),
                    "step": {"batch": seconds * other * wobble, "none": 1.0},
                    "inference": {"batch": 1.3, "none": 1.0, "folded": 1.0},
                }
            }
        }

    return outcome


@pytest.mark.parametrize(("seconds", "expected"), [(1.2, "supported"), (1.0, "not supported")])
def test_time_shows_where_a_step_takes_longer(judge: Judge, seconds: float, expected: Verdict) -> None:
    assert judge(CostTime(), _outcome(seconds=seconds)).verdict == expected


def test_time_depends_where_one_network_is_as_fast(judge: Judge) -> None:
    assert judge(CostTime(), _outcome(seconds=1.2, of_convolutions=1 / 1.2)).verdict == "depends"


@pytest.mark.parametrize(("kept", "expected"), [(1.6, "supported"), (1.01, "not supported")])
def test_memory_shows_where_more_is_kept(judge: Judge, kept: float, expected: Verdict) -> None:
    assert judge(CostMemory(), _outcome(kept=kept)).verdict == expected


@pytest.mark.parametrize(("share", "expected"), [(80.0, "supported"), (6.0, "not supported")])
def test_statistics_are_the_reason_where_they_are_most_of_it(
    judge: Judge, share: float, expected: Verdict
) -> None:
    assert judge(CostMemoryReason(), _outcome(statistics=share)).verdict == expected


def test_statistics_are_called_small_only_where_they_are(judge: Judge) -> None:
    assert "are small" in judge(CostMemoryReason(), _outcome(statistics=6.0)).advice.en
    assert "are small" not in judge(CostMemoryReason(), _outcome(statistics=80.0)).advice.en
