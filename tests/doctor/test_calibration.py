"""A slice of the calibration: healthy models and plants, and the page of both."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.doctor_calibration import trained
from benchmarks.doctor_calibration.healthy import health_of, visits
from benchmarks.doctor_calibration.outcome import Outcome, outcome_of
from benchmarks.doctor_calibration.page import Round, page, summary
from benchmarks.doctor_calibration.plants.all_plants import ALL_PLANTS
from benchmarks.doctor_calibration.recipes import Recipe, recipes
from benchmarks.doctor_calibration.thresholds import thresholds
from normwise.doctor import all_rules

_HEALTHY = (
    Recipe("dense", batch=64, epochs=4),
    Recipe("cnn", epochs=4, width=8, depth=3, library="normwise"),
    Recipe("steps", batch=64, epochs=15, width=16, optimizer="adam"),
)
_SICK = ("BN101", "BN201", "BN203", "BN301", "BN511", "BN512", "BN513", "BN514", "BN601", "BN603")
_CODES = {rule.code for rule in all_rules()}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "CACHE", tmp_path_factory.getbasetemp() / "trained")


@pytest.mark.parametrize("recipe", _HEALTHY, ids=lambda recipe: recipe.kind)
def test_a_healthy_model_raises_no_alarm(recipe: Recipe) -> None:
    base = trained.trained(recipe)
    assert health_of(base).running > 0.75
    for outcome in visits(base):
        assert (outcome.alarms, outcome.error) == ((), ""), outcome.words


@pytest.mark.parametrize("code", [code for code in _SICK if code in _CODES])
def test_a_planted_fault_comes_first(code: str) -> None:
    plant = next(one for one in ALL_PLANTS if one.code == code and "dense" in one.kinds)
    torch.manual_seed(0)
    outcome = outcome_of(plant.make(trained.trained(_HEALTHY[0])), "dense", plant.fault, plant.code)
    assert outcome.is_hit, outcome


def test_there_are_as_many_models_as_the_issue_wants() -> None:
    assert len(recipes(mnist=True)) >= 60
    assert sum(len(plant.chosen(recipes(mnist=False))) for plant in ALL_PLANTS) >= 300


def test_names_of_models_and_of_faults_are_each_of_one() -> None:
    names = [recipe.name for recipe in recipes(mnist=True)]
    faults = [(plant.code, plant.fault) for plant in ALL_PLANTS]
    assert len(set(names)) == len(names)
    assert len(set(faults)) == len(faults)


def test_a_model_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "CACHE", tmp_path)
    recipe = replace(_HEALTHY[0], epochs=1)
    first = trained.trained(recipe).state
    monkeypatch.setattr(trained.Trained, "learn", None)
    again = trained.trained(recipe).state
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_the_page_names_false_alarms_and_misses() -> None:
    base = trained.trained(_HEALTHY[0])
    name = base.recipe.name
    alarm = Outcome(name, "alone", "", (("BN201", "error"),), ("error BN201 norm: off by 3 σ",), 0.1)
    miss = Outcome("a net", "a bias", "BN101", (("BN201", "error"),), ("error BN201",), 0.1)
    hit = Outcome("a net", "another bias", "BN101", (("BN101", "info"),), ("info BN101",), 0.1)
    found = Round([health_of(base)], [alarm], [miss, hit])
    text = page(found, Round([], [], [hit]))
    assert f"| {name} | alone | error BN201 norm: off by 3 σ |" in text
    assert "| BN101 | a bias | a net | BN201 |" in text
    assert "| BN101 | BN201 | 1 |" in text
    assert "1 of 2 plants (50.0%) have the right code first, 1 have it at all" in summary(found)
    assert "1 of 1 plants (100.0%)" in " ".join(
        text.split("## By rule")[0].split("## Fresh seeds")[1].split()
    )


def test_thresholds_are_those_in_the_files_of_the_rules() -> None:
    named = {(one.file, one.name): one for one in thresholds()}
    fine = named["running-statistics", "FINE"]
    assert float(fine.value) > 0
    assert fine.meaning
