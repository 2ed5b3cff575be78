"""Requirements on every claim, including future ones."""

import inspect
from collections import Counter
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from normwise.data import load_data
from normwise.errors import ArgumentError
from normwise.records import Group, Verdict
from normwise.studies import PRESETS, Claim, all_claims, claims_named, preset_named
from normwise.studies.arms import Search
from normwise.studies.claim import Plan

_CLAIMS = all_claims()
_TUTORIALS = ("000", "001", "002", "003", "004")

each_claim = pytest.mark.parametrize("claim", _CLAIMS, ids=lambda claim: claim.name)
each_claim_and_preset = pytest.mark.parametrize(
    ("claim", "preset"),
    [(claim, preset) for claim in _CLAIMS for preset in PRESETS if preset in claim.presets],
    ids=lambda one: getattr(one, "name", one),
)


def _first_rate(search: Search) -> float:
    return search.rates[0]


def _plans(claim: Claim, preset: str) -> tuple[Plan, ...]:
    sizes = preset_named(preset)
    return (*claim.cases(sizes, _first_rate), *claim.controls(sizes, _first_rate))


@each_claim
def test_a_claim_is_called_like_its_file_or_begins_so(claim: Claim) -> None:
    assert claim.name.startswith(Path(inspect.getfile(type(claim))).stem)


def test_names_and_numbers_are_their_own() -> None:
    for values in ([claim.name for claim in _CLAIMS], [claim.number for claim in _CLAIMS]):
        assert max(Counter(values).values()) == 1


@each_claim
def test_a_claim_lies_in_the_folder_of_its_group(claim: Claim) -> None:
    assert claim.group in get_args(Group)
    assert f"claims.{claim.group}." in type(claim).__module__


@each_claim_and_preset
def test_a_claim_says_all_that_a_reader_needs(claim: Claim, preset: str) -> None:
    assert all((claim.statement.en, claim.statement.zh, claim.falsifier, claim.rule))
    assert all(claim.protocol(preset_named(preset)))
    assert all(source.section and source.url.startswith("https://") for source in claim.sources)
    assert all(saying.tutorial in _TUTORIALS and saying.section for saying in claim.says)


@each_claim
def test_its_rule_has_a_day(claim: Claim) -> None:
    assert date.fromisoformat(claim.dated) >= date(2026, 11, 27)


@each_claim_and_preset
def test_each_case_has_a_size_from_which_on_it_matters(claim: Claim, preset: str) -> None:
    for plan in _plans(claim, preset):
        smallest = getattr(plan, "smallest", None) or getattr(plan, "rounding", 0)
        assert smallest > (1 if plan.unit == "times" else 0)
        assert plan.gloss.en
        assert plan.gloss.zh
    assert max(Counter(plan.name for plan in _plans(claim, preset)).values()) == 1


@each_claim_and_preset
def test_its_runs_differ_and_have_every_seed_that_is_judged(claim: Claim, preset: str) -> None:
    sizes = preset_named(preset)
    runs = claim.runs(sizes, _first_rate)
    assert len({run.key for run in runs}) == len(runs)
    assert {run.seed for run in runs} == set(claim.seeds(sizes))
    assert len(claim.seeds(sizes)) >= 5


@each_claim_and_preset
def test_learning_rates_are_chosen_on_seeds_and_samples_that_nothing_is_judged_on(
    claim: Claim, preset: str
) -> None:
    sizes = preset_named(preset)
    assert not set(claim.seeds(sizes)) & set(sizes.tuning_seeds)
    for search in claim.searches(sizes):
        if len(search.rates) == 1:
            continue
        assert {(run.split, run.seed) for run in search.runs(sizes)} == {
            ("validation", seed) for seed in sizes.tuning_seeds
        }
    assert {run.split for run in claim.runs(sizes, _first_rate)} == {"test"}


@each_claim
@pytest.mark.parametrize("found", get_args(Verdict))
def test_it_has_advice_for_every_verdict(claim: Claim, found: Verdict) -> None:
    assert claim.advice(found).en
    assert claim.advice(found).zh


def test_the_quick_study_needs_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = preset_named("quick")
    arms = [search.arm for claim in _CLAIMS for search in claim.searches(quick)]
    arms += [run for claim in _CLAIMS for run in claim.runs(quick, _first_rate)]
    monkeypatch.delenv("NORMWISE_DATA_DIR", raising=False)
    monkeypatch.setenv("NORMWISE_CACHE_DIR", str(tmp_path))
    for arm in {(arm.task, arm.data): arm for arm in arms}.values():
        load_data(arm.task, arm.data)
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_lists_the_known_ones() -> None:
    known = ", ".join(claim.name for claim in _CLAIMS)
    with pytest.raises(ArgumentError, match=f"unknown claim 'bigger'; known are {known}"):
        claims_named(("bigger",))
    with pytest.raises(ArgumentError, match="unknown preset 'huge'; known are quick, full, gpu"):
        preset_named("huge")
