"""Findings of the doctor as text for a terminal."""

import math
import textwrap
from collections.abc import Mapping, Sequence

from normwise.records.doctor.evidence_table import layer_table, number_lines
from normwise.records.doctor.examination import (
    SEVERITIES,
    Examination,
    Finding,
    Measured,
    ProbeOutcome,
    Symptom,
    Treatment,
)

_WIDTH = 100
#: Indentation of a line of evidence.
_INDENT = 4
#: Number of layers of a finding that are shown; the others are counted.
_MOST_LAYERS = 5
#: Number of rule codes that are listed; if there are more, they are counted.
_MOST_CODES = 6
#: Safety of a fix in words.
SAFETY = {
    "safe": "safe: normwise can apply it and prove it",
    "unsafe": "unsafe: it changes training or the structure, so apply it yourself",
    "manual": "manual: it is in your own script",
}


def measured_text(measured: Measured) -> str:
    """Return one number of the evidence in words, such as ``"running mean off by up to 3.2 σ"``."""
    return f"{measured.label} {_value(measured)}"


def number_text(value: float) -> str:
    """Return a number with three digits; large whole numbers with all digits."""
    if math.isnan(value):
        return "unknown"
    if math.isfinite(value) and value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e7 else f"{value:.3g}"


def symptom_text(symptom: Symptom) -> str:
    """Return a layer with its evidence in one line."""
    where = place_text(symptom)
    parts = [*([symptom.detail] if symptom.detail else []), *map(measured_text, symptom.evidence)]
    return f"{where}: {', '.join(parts)}" if parts else where


def place_text(symptom: Symptom) -> str:
    """Return the path of a layer and its class."""
    return f"{shown_path(symptom.path)} ({symptom.kind})" if symptom.kind else shown_path(symptom.path)


def shown_path(path: str) -> str:
    """Return the path, with control characters escaped."""
    return (path if path.isprintable() else repr(path)) or "the model"


def outcome_text(outcome: ProbeOutcome) -> str:
    """Return loss and accuracy as text; empty if neither is known."""
    parts = [] if math.isnan(outcome.loss) else [f"loss {outcome.loss:.3g}"]
    parts += [] if math.isnan(outcome.accuracy) else [f"accuracy {outcome.accuracy:.1%}"]
    return ", ".join(parts)


def finding_text(finding: Finding) -> str:
    """Return a finding with its worst layers, its cost and its fix."""
    lines = [f"{finding.severity} {finding.code} {finding.name} in {places_text(finding.symptoms)}"]
    lines += _wrapped(finding.message, "  ")
    lines += [f"    {line}" for line in _evidence(finding.symptoms)]
    if finding.cost:
        lines += _wrapped(f"Costs: {finding.cost}", "  ")
    lines.append(f"  Fix ({SAFETY[finding.safety]}):")
    lines += textwrap.indent(finding.fix, "    ").splitlines()
    return "\n".join(lines)


def places_text(symptoms: Sequence[Symptom]) -> str:
    """Return the layer, or the number of layers, with their class if it is the same."""
    if len(symptoms) == 1:
        return place_text(symptoms[0])
    kinds = {symptom.kind for symptom in symptoms}
    return f"{len(symptoms)} layers" + (f" ({kinds.pop()})" if len(kinds) == 1 and "" not in kinds else "")


def examination_text(examination: Examination) -> str:
    """Return the findings, worst first, and a line on everything that is healthy."""
    return "\n\n".join(
        [headline(examination), *map(finding_text, examination.findings), rest_text(examination)]
    )


def examination_lines(examination: Examination) -> str:
    """Return one line for each error and warning; empty if there is none."""
    return "\n".join(_line(finding) for finding in examination.findings if finding.severity != "info")


def headline(examination: Examination) -> str:
    """Return the number of findings of each severity, or that the model is healthy."""
    layers = _number(len(examination.layers), "BN layer")
    if not examination.findings:
        return f"{examination.target}: healthy, {layers}"
    counts = {severity: [f.severity for f in examination.findings].count(severity) for severity in SEVERITIES}
    names = {"error": "error", "warning": "warning", "info": "note"}
    said = ", ".join(_number(count, names[severity]) for severity, count in counts.items() if count)
    healthy = "healthy, " if examination.is_healthy else ""
    return f"{examination.target}: {healthy}{said}, {layers}"


def rest_text(examination: Examination) -> str:
    """Return a line on the rules that found nothing, and one on those that could not be applied."""
    found = {finding.code for finding in examination.findings}
    clean = len([code for code in examination.checked if code not in found])
    batches = f" on {_number(examination.batches, 'batch', 'batches')}" if examination.batches else ""
    beginning = "Everything else is fine: " if found else ""
    lines = [f"{beginning}{_number(clean, 'rule')} found nothing{batches}."] if clean else []
    outcome = outcome_text(examination.running)
    if outcome:
        exact = outcome_text(examination.exact)
        lines.append(f"Evaluation: {outcome}; with exact statistics {exact}.")
    lines += _skipped(examination.skipped)
    return "\n".join(line for text in lines for line in _wrapped(text, ""))


def treatment_text(treatment: Treatment) -> str:
    """Return the outcome of each fix, and the proof."""
    lines = [
        f"{remedy.code} {remedy.name}: {'' if remedy.applied else 'not applied, '}{remedy.reason}"
        for remedy in treatment.remedies
    ]
    lines.append(
        f"{'Proven' if treatment.proven else 'Not proven, so nothing was changed'}: {treatment.reason}"
    )
    return "\n".join(line for text in lines for line in _wrapped(text, ""))


def _line(finding: Finding) -> str:
    worst, more = place_text(finding.symptoms[0]), len(finding.symptoms) - 1
    where = f"{worst} and {_number(more, 'more layer')}" if more else worst
    return f"{finding.severity} {finding.code} {finding.name}: {finding.message} In {where}."


def _evidence(symptoms: Sequence[Symptom]) -> list[str]:
    """Return the evidence: for one layer a line per number, for several a line for each of the worst."""
    if len(symptoms) == 1:
        (symptom,) = symptoms
        detail = _wrapped(symptom.detail, "", _WIDTH - _INDENT) if symptom.detail else []
        return [*detail, *number_lines(symptom.evidence, _value)]
    worst, left = symptoms[:_MOST_LAYERS], len(symptoms) - _MOST_LAYERS
    one_kind = len({symptom.kind for symptom in symptoms}) == 1
    names = [shown_path(symptom.path) if one_kind else place_text(symptom) for symptom in worst]
    lines = layer_table(worst, names, _value, _WIDTH - _INDENT)
    if lines is None:
        lines = [line for one in worst for line in _wrapped(f"- {symptom_text(one)}", "", _WIDTH - _INDENT)]
    return [*lines, *([f"and {left} more, none worse"] if left > 0 else [])]


def _value(measured: Measured) -> str:
    return f"{number_text(measured.value)}{_unit(measured.unit)}"


def _skipped(skipped: Mapping[str, str]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for code, reason in skipped.items():
        by_reason.setdefault(reason, []).append(code)
    return [f"Not checked, {reason}: {_codes(codes)}." for reason, codes in by_reason.items()]


def _codes(codes: Sequence[str]) -> str:
    """Return the codes; if there are many, their number and families."""
    if len(codes) <= _MOST_CODES:
        return ", ".join(codes)
    return f"{len(codes)} rules of {', '.join(sorted({f'{code[:3]}xx' for code in codes}))}"


def _unit(unit: str) -> str:
    return "" if not unit else f" {unit}"


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _wrapped(text: str, indent: str, width: int = _WIDTH) -> list[str]:
    further = indent + ("  " if text.startswith("- ") else "")
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=further, break_on_hyphens=False
    ) or [indent]
