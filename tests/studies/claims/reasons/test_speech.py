"""Verdicts on speech and its volume."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from normwise.data.speech.tones import tones
from normwise.records import ClaimResult, RunConfig, Verdict
from normwise.studies import preset_named
from normwise.studies.claims.reasons.speech import Speech, SpeechVolume

Judge = Callable[..., ClaimResult]


@pytest.mark.parametrize(
    ("known", "new", "expected"),
    [(4.0, 4.0, "supported"), (0.0, 0.0, "not supported"), (4.0, 0.0, "depends"), (4.0, 0.95, "undecided")],
)
def test_bn_improves_speech_where_it_is_ahead_for_known_and_new_speakers(
    judge: Judge, known: float, new: float, expected: Verdict
) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        lead = new if config.data_options else known
        return {"accuracy": 0.8 + (lead / 100 + 0.001 * (config.seed % 3) if config.norm == "batch" else 0)}

    assert judge(Speech(), outcome, "full").verdict == expected


def test_no_verdict_where_nothing_is_learnt(judge: Judge) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        return {"accuracy": 0.15 if config.norm == "batch" else 0.1}

    assert judge(Speech(), outcome).verdict == "undecided"


QUIET, LOUD = "0.1", "10"


@pytest.mark.parametrize(
    ("batch", "none", "expected"),
    [
        ({QUIET: 0.9, LOUD: 0.9}, {QUIET: 0.5, LOUD: 0.5}, "supported"),
        ({QUIET: 0.4, LOUD: 0.5}, {QUIET: 0.5, LOUD: 0.5}, "not supported"),
        ({QUIET: 0.9, LOUD: 0.5}, {QUIET: 0.5, LOUD: 0.5}, "depends"),
        ({QUIET: 0.9, LOUD: 0.9}, {QUIET: 0.88, LOUD: 0.88}, "undecided"),
    ],
)
def test_bn_adapts_to_volume_where_another_one_costs_less(
    judge: Judge, batch: dict[str, float], none: dict[str, float], expected: Verdict
) -> None:
    def outcome(config: RunConfig) -> dict[str, Any]:
        accuracies = batch if config.norm == "batch" else none
        wobble = 0.002 * (config.seed % 3)
        return {"end": {"gain_accuracy": {"1": 0.9, **{g: a - wobble for g, a in accuracies.items()}}}}

    assert judge(SpeechVolume(), outcome).verdict == expected


def test_the_budget_is_told_in_epochs() -> None:
    quick, full = (Speech().protocol(preset_named(preset))[0] for preset in ("quick", "full"))
    network = preset_named("quick").sequences["speech_lstm"]
    steps_an_epoch = len(tones().training) / network.batch_size
    assert f"That is about {network.steps / steps_an_epoch:.0f} epochs." in quick
    assert "epochs" in full


def test_arms_differ_in_the_norm_alone_and_features_tell_loudness() -> None:
    batch, none = SpeechVolume().cases(preset_named("quick"), lambda search: search.rates[1])[0].arms
    assert {name for name in asdict(batch) if getattr(batch, name) != getattr(none, name)} == {
        "norm",
        "measures",
    }
    assert batch.data_options == {"loudness": True}
