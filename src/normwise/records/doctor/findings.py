"""Findings from the symptoms of rules: worst first, without those that another finding explains."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from normwise.records.doctor.examination import SEVERITIES, Finding, Safety, Severity, Symptom


class FindingRule(Protocol):
    """The part of a rule that turns symptoms into a finding; see :class:`normwise.doctor.Rule`."""

    code: ClassVar[str]
    name: ClassVar[str]
    supersedes: ClassVar[tuple[str, ...]]

    def message(self, facts: Any, symptoms: Sequence[Symptom], /) -> str:
        """Return one plain sentence that says what is wrong."""
        ...

    def fix(self, facts: Any, symptoms: Sequence[Symptom], /) -> str:
        """Return code that fixes it."""
        ...

    def cost(self, facts: Any, symptoms: Sequence[Symptom], /) -> str:
        """Return the measured cost in words."""
        ...

    def severity_of(self, facts: Any, symptoms: Sequence[Symptom], /) -> Severity:
        """Return the severity of the symptoms."""
        ...

    def safety_of(self, facts: Any, symptoms: Sequence[Symptom], /) -> Safety:
        """Return whether the fix can be applied."""
        ...

    def explained(self, facts: Any, symptoms: Sequence[Symptom], /) -> set[str]:
        """Return the paths at which findings of superseded rules are dropped."""
        ...


def findings_of(
    rules: Sequence[FindingRule],
    facts: Any,
    symptoms: Mapping[str, Sequence[Symptom]],
    severities: Mapping[str, Severity] | None = None,
) -> tuple[Finding, ...]:
    """Return a finding for each rule with symptoms, worst first, without those that another finding explains.

    Args:
        rules: Applied rules.
        facts: Facts about the model.
        symptoms: Symptoms by code.
        severities: Severities of some rules by code, instead of their own.
    """
    by_code = {rule.code: rule for rule in rules}
    findings: dict[str, Finding] = {}
    for code, places in symptoms.items():
        worst_first = sorted(places, key=lambda symptom: symptom.badness, reverse=True)
        if worst_first:
            findings[code] = _finding(by_code[code], facts, worst_first, severities or {})
    kept = _without_superseded(findings, by_code, facts).values()
    return tuple(sorted(kept, key=lambda one: (SEVERITIES.index(one.severity), one.code)))


def _finding(
    rule: FindingRule, facts: Any, symptoms: list[Symptom], severities: Mapping[str, Severity]
) -> Finding:
    return Finding(
        rule.code,
        rule.name,
        severities.get(rule.code) or rule.severity_of(facts, symptoms),
        rule.message(facts, symptoms),
        tuple(symptoms),
        rule.cost(facts, symptoms),
        rule.fix(facts, symptoms),
        rule.safety_of(facts, symptoms),
    )


def _without_superseded(
    findings: Mapping[str, Finding], rules: Mapping[str, FindingRule], facts: Any
) -> dict[str, Finding]:
    """Drop what another finding explains: in layers that both found, and all of it if either is on the whole model.

    A note explains only notes.
    """
    kept = dict(findings)
    for code in findings:
        explained = rules[code].explained(facts, findings[code].symptoms)
        for other in rules[code].supersedes:
            if other not in kept or code not in kept:
                continue
            if findings[code].severity == "info" and kept[other].severity != "info":
                continue  # a note must not hide a fault
            of_parts = "" not in explained
            left = [s for s in kept[other].symptoms if of_parts and s.path and s.path not in explained]
            if left and len(left) < len(kept[other].symptoms):
                kept[other] = _finding(rules[other], facts, left, {other: kept[other].severity})
            elif not left:
                del kept[other]
    return kept
