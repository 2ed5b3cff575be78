"""Findings in SARIF, which services that show the results of linters read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from normwise.records import Examination, Finding, RuleText, Severity, measured_text, symptom_text

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Mapping[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
#: What a target names a file by.
_FILES = (".py", ".pt", ".pth", ".ckpt", ".safetensors", ".onnx")


def examination_sarif(examination: Examination, rules: Sequence[RuleText]) -> str:
    """Return a log of SARIF 2.1.0: a result for each finding, with a logical location for each layer.

    Args:
        examination: Examination with the findings.
        rules: Text of each rule that was applied, among them those of all findings.
    """
    numbers = {rule.code: number for number, rule in enumerate(rules)}
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "normwise",
                        "version": examination.environment.normwise,
                        "rules": [_rule(rule) for rule in rules],
                    }
                },
                "results": [
                    _result(examination, finding, numbers[finding.code]) for finding in examination.findings
                ],
            }
        ],
    }
    return json.dumps(log, indent=1, ensure_ascii=False)


def _rule(rule: RuleText) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.finds},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"Measured: {rule.measured}\nFixed: {rule.fixed}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }
    if rule.sources:
        described["helpUri"] = rule.sources[0].url
    return described


def _result(examination: Examination, finding: Finding, number: int) -> dict[str, Any]:
    cost = f" Costs: {finding.cost}." if finding.cost else ""
    worst = symptom_text(finding.symptoms[0])
    where = f" Worst: {worst}." if len(finding.symptoms) > 1 else f" Found in {worst}."
    return {
        "ruleId": finding.code,
        "ruleIndex": number,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}{where}{cost} Fix: {finding.fix}"},
        "locations": [
            _location(examination.target, symptom.path, symptom.kind) for symptom in finding.symptoms
        ],
        "partialFingerprints": {"target/v1": f"{finding.code} {examination.target}"},
        "properties": {
            "safety": finding.safety,
            "evidence": {
                symptom.path: [measured_text(one) for one in symptom.evidence] for symptom in finding.symptoms
            },
        },
    }


def _location(target: str, path: str, kind: str) -> dict[str, Any]:
    logical = {
        "name": path.rpartition(".")[2] or target,
        "fullyQualifiedName": path or target,
        "kind": "object",
    }
    location: dict[str, Any] = {"logicalLocations": [logical | ({"decoratedName": kind} if kind else {})]}
    file, _, name = target.rpartition(":")
    file = target if name.endswith(_FILES) else file
    if file.endswith(_FILES):
        # Services show a result at a line of a file only; a model has none, so that it is the first.
        location["physicalLocation"] = {
            "artifactLocation": {"uri": quote(PurePath(file).as_posix())},
            "region": {"startLine": 1},
        }
    return location
