"""What every claim must have, whoever adds the next."""

import inspect
from collections import Counter
from pathlib import Path

import pytest

from normwise.errors import ArgumentError
from normwise.records import to_json
from normwise.studies import PRESETS, Claim, all_claims, claims_named, preset_named

_CLAIMS = all_claims()


def test_the_claims_are_found_by_their_files() -> None:
    assert [claim.name for claim in _CLAIMS] == [
        "fewer_steps",
        "higher_learning_rate",
        "initial_scale",
        "small_batches",
        "batch_independence",
        "useless_bias",
        "recurrent_nets",
        "padding",
        "per_step_statistics",
        "small_batch_remedies",
    ]


def test_their_numbers_are_their_own() -> None:
    assert max(Counter(claim.number for claim in _CLAIMS).values()) == 1


@pytest.mark.parametrize("claim", _CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_is_called_like_its_file(claim: Claim) -> None:
    assert Path(inspect.getfile(type(claim))).stem == claim.name


@pytest.mark.parametrize("claim", _CLAIMS, ids=lambda claim: claim.name)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_claim_says_all_that_a_reader_needs(claim: Claim, preset: str) -> None:
    assert all((claim.statement, claim.falsifier, claim.rule, claim.protocol(preset_named(preset))))
    assert all(source.section and source.url.startswith("https://") for source in claim.sources)


@pytest.mark.parametrize("claim", _CLAIMS, ids=lambda claim: claim.name)
def test_what_would_show_a_claim_false_may_do_so_in_part_as_its_rule_has_it(claim: Claim) -> None:
    assert "else: depends" in claim.rule.lower()
    assert "it depends" in claim.falsifier


@pytest.mark.parametrize("claim", _CLAIMS, ids=lambda claim: claim.name)
@pytest.mark.parametrize("preset", PRESETS)
def test_its_runs_differ_and_have_every_seed(claim: Claim, preset: str) -> None:
    runs = claim.runs(preset_named(preset))
    assert len({run.key for run in runs}) == len(runs)
    assert {run.seed for run in runs} == set(preset_named(preset).seeds)
    assert len(preset_named(preset).seeds) >= 3


def test_claims_about_learning_rates_share_their_runs() -> None:
    fewer, higher = claims_named(("fewer_steps", "higher_learning_rate"))
    quick = preset_named("quick")
    assert to_json(fewer.runs(quick)) == to_json(higher.runs(quick))


def test_claims_about_sequences_share_the_runs_with_masked_bn() -> None:
    quick = preset_named("quick")
    nets, padding = (
        set(map(to_json, claim.runs(quick))) for claim in claims_named(("recurrent_nets", "padding"))
    )
    assert len(nets & padding) == len(quick.sequences) * len(quick.seeds)


def test_the_quick_study_needs_no_download() -> None:
    sets = {(run.task, run.data) for claim in _CLAIMS for run in claim.runs(preset_named("quick"))}
    assert sets == {("image", "digits"), ("speech", "tones"), ("text", "phrases")}


def test_the_full_study_has_figure_1_of_the_paper() -> None:
    (claim,) = claims_named(("fewer_steps",))
    figure_1 = [run for run in claim.runs(preset_named("full")) if run.steps == 50_000]
    assert {(run.model, run.norm, run.batch_size, run.test_samples) for run in figure_1} == {
        ("ioffe_mlp", "batch", 60, None),
        ("ioffe_mlp", "none", 60, None),
    }
    assert all("input_percentiles" in run.measures for run in figure_1)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match="unknown claim 'bigger'; known are fewer_steps"):
        claims_named(("bigger",))
    with pytest.raises(ArgumentError, match="unknown preset 'huge'; known are quick, full"):
        preset_named("huge")
