"""Examinations and treatments: JSON, and their words for a terminal."""

import dataclasses
import json
from typing import Any

import pytest

from normwise.records import Examination, Treatment, from_json, from_plain, to_json
from normwise.records.doctor.examination_text import number_text
from tests.support.reports import shown_examination

_EXAMINATIONS = {
    "sick": shown_examination.sick,
    "healthy": shown_examination.healthy,
    "of a model": shown_examination.of_model,
    "large": shown_examination.large,
}


@pytest.mark.parametrize("make", _EXAMINATIONS.values(), ids=_EXAMINATIONS)
def test_an_examination_is_read_back_as_it_was(make: Any) -> None:
    record = make()
    assert repr(from_plain(Examination, json.loads(to_json(record)))) == _as_json_has_it(record)


def test_a_treatment_is_read_back_as_it_was() -> None:
    record = shown_examination.treatment()
    read = from_json(Treatment, to_json(record).encode())
    assert repr(read) == _as_json_has_it(record)
    assert str(read) == str(record)


def test_a_finding_names_its_layers_and_none_for_the_model_as_a_whole() -> None:
    in_layers, _, of_the_model = shown_examination.sick().findings
    assert in_layers.layers == tuple(symptom.path for symptom in in_layers.symptoms)
    assert "stem.norm" in in_layers.layers
    assert of_the_model.layers == ()


def test_a_severity_that_is_none_is_refused() -> None:
    sick = shown_examination.sick()
    odd = dataclasses.replace(sick, findings=(shown_examination.finding(severity="fatal"),))
    with pytest.raises(ValueError, match="severity"):
        from_plain(Examination, json.loads(to_json(odd)))


def test_a_finding_names_the_worst_layers_and_counts_the_others() -> None:
    text = str(shown_examination.large())
    assert "BN201 stale-statistics in 100 layers" in text
    worst = next(line for line in text.splitlines() if "stages.5.blocks.49.norm" in line)
    assert worst.split()[1:3] == ["4.99", "σ"]
    assert "stages.5.blocks.44.norm" not in text
    assert "95 more" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12345, "12,345"),
        (0.98765, "0.988"),
        (1130.4, "1,130"),
        (-2500.5, "-2,500"),
        (999.7, "1,000"),
        (1.5e9, "1.5e+09"),
        (float("nan"), "unknown"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_rounded(value: float, text: str) -> None:
    assert number_text(value) == text


def _as_json_has_it(record: Any) -> str:
    # JSON has no infinity: what is not finite is read as unknown.
    return repr(record).replace("=inf", "=nan")
