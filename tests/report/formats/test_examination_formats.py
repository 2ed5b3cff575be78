"""Findings as annotations of GitHub and in SARIF: escaped, complete, and as their specifications want them."""

import json
import re
from typing import Any

import pytest

from normwise.records import (
    Environment,
    Examination,
    Finding,
    LayerHealth,
    Measured,
    ProbeOutcome,
    RuleText,
    Source,
    Symptom,
)
from normwise.report import examination_github, examination_sarif


def _finding(code: str, severity: Any, *paths: str) -> Finding:
    symptoms = tuple(Symptom(path, "BatchNorm2d", (Measured("off by", 3.25, "σ"),)) for path in paths)
    message = "Statistics are 100% wrong: all, of them."
    return Finding(code, "wrong-statistics", severity, message, symptoms, "loss 2", "a()\nb()", "safe")


def _rule(code: str) -> RuleText:
    source = Source("A & B 2015", "", "https://example.org")
    return RuleText(
        code, "wrong-statistics", "error", "safe", (), "F.", "W.", "M.", "X.", "s", "h", (source,)
    )


def _examination(*findings: Finding, target: str = "src/train.py:model") -> Examination:
    none = ProbeOutcome()
    layers = (LayerHealth("layer1.0.bn", "BatchNorm2d"),)
    return Examination(target, findings, layers, none, none, none, 0, (), {}, 0.0, Environment.here())


@pytest.mark.parametrize(
    ("severity", "command"), [("error", "error"), ("warning", "warning"), ("info", "notice")]
)
def test_each_finding_is_one_command_of_its_severity(severity: str, command: str) -> None:
    finding = _finding("BN201", severity, "a", "b")
    (line,) = examination_github(_examination(finding)).splitlines()
    assert line.startswith(f"::{command} file=src/train.py,title=BN201 wrong-statistics::")
    assert "%0A" in line
    assert "100%25 wrong: all, of them." in line
    assert not re.search(r"%(?!25|0A|0D)", line)


def test_what_would_end_a_property_is_escaped() -> None:
    line = examination_github(_examination(_finding("BN201", "error", "a"), target="C:/a,b%.py:model"))
    assert line.startswith("::error file=C%3A/a%2Cb%25.py,title=BN201 wrong-statistics::")


def test_a_network_that_no_file_holds_has_no_file() -> None:
    line = examination_github(_examination(_finding("BN201", "error", "a"), target="package.module:model"))
    assert line.startswith("::error title=")


def test_a_healthy_network_has_no_annotation() -> None:
    assert examination_github(_examination()) == ""


def _sarif(*findings: Finding, target: str = "src/train.py:model") -> dict[str, Any]:
    examination = _examination(*findings, target=target)
    return json.loads(examination_sarif(examination, [_rule("BN101"), _rule("BN201")]))


def test_sarif_has_what_its_specification_requires() -> None:
    log = _sarif(_finding("BN201", "error", "layer1.0.bn", "bn"), _finding("BN101", "info", "bn"))
    assert log["version"] == "2.1.0"  # 3.13.2
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]  # 3.14.6, 3.18.2
    assert driver["name"] == "normwise"  # 3.19.8
    for rule in driver["rules"]:  # 3.49
        assert rule["id"]
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
        assert rule["helpUri"].startswith("https://")
    assert [result["level"] for result in run["results"]] == ["error", "note"]
    for result in run["results"]:  # 3.27
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert len({json.dumps(location) for location in result["locations"]}) == len(result["locations"])
        assert all(isinstance(value, str) for value in result["partialFingerprints"].values())


def test_logical_locations_are_the_layers() -> None:
    (result,) = _sarif(_finding("BN201", "error", "layer1.0.bn", "bn"))["runs"][0]["results"]
    logical = [location["logicalLocations"][0] for location in result["locations"]]
    assert [one["fullyQualifiedName"] for one in logical] == ["layer1.0.bn", "bn"]
    assert [one["name"] for one in logical] == ["bn", "bn"]
    assert "off by 3.25 σ" in result["message"]["text"]
    assert result["properties"]["evidence"]["bn"] == ["off by 3.25 σ"]


@pytest.mark.parametrize(
    ("target", "uri"),
    [("my src/train.py:model", "my%20src/train.py"), ("net.onnx", "net.onnx"), ("a.module:model", None)],
)
def test_a_physical_location_is_the_file_where_there_is_one(target: str, uri: str | None) -> None:
    (result,) = _sarif(_finding("BN201", "error", "bn"), target=target)["runs"][0]["results"]
    (location,) = result["locations"]
    found = location.get("physicalLocation", {}).get("artifactLocation", {}).get("uri")
    assert found == uri


def test_a_finding_on_the_whole_model_is_at_the_target() -> None:
    (result,) = _sarif(_finding("BN201", "warning", ""))["runs"][0]["results"]
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "src/train.py:model"


def test_a_healthy_network_has_no_results() -> None:
    assert _sarif()["runs"][0]["results"] == []
