"""Findings in words: one line for each number of a layer, a table for several, and nothing too long."""

import math

from normwise.records import (
    Environment,
    Examination,
    Finding,
    LayerHealth,
    Measured,
    ProbeOutcome,
    Symptom,
    examination_lines,
    finding_text,
)


def _symptom(path: str, value: float, *, kind: str = "BatchNorm2d", detail: str = "") -> Symptom:
    evidence = (Measured("normalised values off by", value, "σ"), Measured("values a channel", 640))
    return Symptom(path, kind, evidence, detail)


def _finding(*symptoms: Symptom) -> Finding:
    return Finding("BN201", "stale", "error", "It is wrong.", symptoms, "loss 2, not 1", "fix()", "safe")


def test_the_numbers_of_one_layer_stand_below_each_other() -> None:
    assert finding_text(_finding(_symptom("bn", 1.5, detail="behind conv"))).splitlines() == [
        "error BN201 stale in bn (BatchNorm2d)",
        "  It is wrong.",
        "    behind conv",
        "    normalised values off by  1.5 σ",
        "    values a channel          640",
        "  Costs: loss 2, not 1",
        "  Fix (safe: normwise can apply it and prove it):",
        "    fix()",
    ]


def test_several_layers_are_a_table_of_the_worst() -> None:
    symptoms = [_symptom(f"layer{i}.bn", 10.0 - i) for i in range(8)]
    lines = finding_text(_finding(*symptoms)).splitlines()
    assert lines[0] == "error BN201 stale in 8 layers (BatchNorm2d)"
    assert lines[2:7] == [
        "               normalised",
        "               values off  values a",
        "    layer      by          channel",
        "    layer0.bn  10 σ        640",
        "    layer1.bn  9 σ         640",
    ]
    assert lines[10] == "    and 3 more, none worse"


def test_layers_of_several_classes_are_named_with_theirs() -> None:
    text = finding_text(_finding(_symptom("a", 2), _symptom("b", 1, kind="SyncBatchNorm")))
    assert text.startswith("error BN201 stale in 2 layers\n")
    assert "b (SyncBatchNorm)  1 σ" in text


def test_layers_with_other_numbers_or_long_names_are_a_list() -> None:
    other = Symptom("b", "BatchNorm2d", (Measured("shift", math.nan),))
    assert "- b (BatchNorm2d): shift unknown" in finding_text(_finding(_symptom("a", 2), other))
    long = "module.backbone.stages.3.blocks.17.attention.projection.downsample.normalisation.wrapped"
    text = finding_text(_finding(_symptom(f"{long}.a", 2), _symptom(f"{long}.b", 1)))
    assert f"- {long}.a\n" in text
    assert max(map(len, text.splitlines())) <= 112


def test_what_a_terminal_would_obey_is_shown_in_a_table_as_well() -> None:
    text = finding_text(_finding(_symptom("a\x1b[2J", 2), _symptom("b", 1)))
    assert "\x1b" not in text


def test_a_finding_in_a_line() -> None:
    info = Finding("BN101", "bias", "info", "It is there.", (_symptom("bn", 1),), "", "fix()", "unsafe")
    none = ProbeOutcome()
    layers = (LayerHealth("bn", "BatchNorm2d"),)
    findings = (_finding(_symptom("a", 2), _symptom("b", 1)), info)
    examination = Examination(
        "net", findings, layers, none, none, none, 0, (), {}, 0.0, Environment.here()
    )  # fmt: skip
    assert examination_lines(examination) == (
        "error BN201 stale: It is wrong. In a (BatchNorm2d) and 1 more layer."
    )
