"""Words and rows of the doctor's findings, for a page."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from normwise.records import (
    SEVERITIES,
    Examination,
    Finding,
    LayerHealth,
    ProbeOutcome,
    Severity,
    Symptom,
    Treatment,
)
from normwise.records.doctor.examination_text import (
    SAFETY,
    measured_text,
    number_text,
    place_text,
    shown_path,
)
from normwise.report.numbers import MISSING, count, duration, number

#: Words and symbols of severities: a finding is read by its word, with or without colour.
WORDS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
SYMBOLS: dict[Severity, str] = {"error": "✗", "warning": "!", "info": "i"}
_MOST_LAYERS = 6
_LEAST_SECONDS = 0.01


@dataclass(frozen=True)
class FindingCard:
    """A finding as a page shows it.

    Attributes:
        finding: Finding to show.
        places: Text on its layers: the path of one, or their number.
        header: Labels of the evidence.
        rows: Evidence of the worst layers.
        more: That of the others.
        safety: Safety of the fix in words.
    """

    finding: Finding
    places: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: tuple[tuple[str, ...], ...]
    safety: str


@dataclass(frozen=True)
class Bars:
    """One quantity of several outcomes, as bars.

    Attributes:
        name: Name of the quantity.
        cells: Value as text, and length of its bar from 0 to 1, for each outcome.
    """

    name: str
    cells: tuple[tuple[str, float], ...]


def verdict(examination: Examination) -> str:
    """Return the verdict in a few words."""
    if not examination.findings:
        return "Healthy" if examination.checked else "Nothing was checked"
    severities = [finding.severity for finding in examination.findings]
    counts = [count(severities.count(one), WORDS[one]) for one in SEVERITIES if one in severities]
    return ("Healthy, with " if examination.is_healthy else "") + " and ".join(
        filter(None, (", ".join(counts[:-1]), counts[-1]))
    )


def worst_severity(examination: Examination) -> str:
    """Return the greatest severity; "healthy" where no finding is above a note, "info" where nothing was checked."""
    if not examination.checked and not examination.findings:
        return "info"
    return "healthy" if examination.is_healthy else examination.findings[0].severity


def examination_summary(examination: Examination) -> str:
    """Return a sentence: what was examined, by how many rules, on how many batches."""
    rules, layers = count(len(examination.checked), "rule"), count(len(examination.layers), "BN layer")
    batches = examination.batches
    on = f" on {batches} {'batch' if batches == 1 else 'batches'}" if batches else ""
    return f"{layers} examined by {rules}{on}."


def treatment_summary(treatment: Treatment) -> str:
    """Return the proof of the fixes, or the reason why there is none."""
    proven = "Proven" if treatment.proven else "Not proven, so nothing was changed"
    return f"{proven}: {treatment.reason}."


def treatment_verdict(treatment: Treatment) -> str:
    """Return in a few words what is left after the fixes."""
    if not treatment.proven:
        return f"{verdict(treatment.before)}; nothing was fixed"
    return f"Before: {verdict(treatment.before).lower()}. After: {verdict(treatment.after).lower()}"


def cards(examination: Examination) -> tuple[FindingCard, ...]:
    """Return the findings, worst first."""
    return tuple(_card(finding) for finding in examination.findings)


def outcome_names(examination: Examination) -> tuple[tuple[str, ProbeOutcome], ...]:
    """Return the three outcomes with their names."""
    return (
        ("Running statistics, as in evaluation", examination.running),
        ("Statistics of each batch, as in training", examination.batch),
        ("Exact statistics of all batches", examination.exact),
    )


def treatment_outcomes(treatment: Treatment) -> tuple[tuple[str, ProbeOutcome], ...]:
    """Return the outcomes in evaluation before and after."""
    return (
        ("Running statistics before", treatment.before.running),
        ("Running statistics after", treatment.after.running),
        ("Exact ones, of all batches together", treatment.before.exact),
    )


def bars(outcomes: Sequence[tuple[str, ProbeOutcome]]) -> tuple[Bars, ...]:
    """Return accuracy and loss, or the distance of the outputs where neither is known."""
    records = [outcome for _, outcome in outcomes]
    found = [
        _bars("Accuracy", records, lambda one: one.accuracy, lambda value: f"{value:.1%}", most=1.0),
        _bars("Loss", records, lambda one: one.loss, number),
    ]
    found = [one for one in found if one is not None]
    if not found:
        found = [
            _bars(
                "Distance of the outputs from those with exact statistics",
                records,
                lambda one: one.distance,
                lambda value: f"{number(value)} σ",
            )
        ]
    return tuple(one for one in found if one is not None)


def layer_header(examination: Examination) -> tuple[str, ...]:
    """Return the names of the columns of ``layer_rows``."""
    return tuple(name for name, _ in _columns(examination))


def layer_rows(examination: Examination) -> tuple[tuple[str, ...], ...]:
    """Return a row for each layer: those that were called first, in that order."""
    columns = _columns(examination)
    layers = sorted(examination.layers, key=lambda one: (math.isnan(one.input_deviation), one.depth))
    return tuple(tuple(of(layer) for _, of in columns) for layer in layers)


def rule_rows(examination: Examination) -> tuple[tuple[str, str], ...]:
    """Return the codes of rules by what became of them."""
    found = {finding.code for finding in examination.findings}
    clean = [code for code in examination.checked if code not in found]
    skipped: dict[str, list[str]] = {}
    for code, reason in examination.skipped.items():
        skipped.setdefault(reason, []).append(code)
    return (
        *([("Found something", ", ".join(sorted(found)))] if found else []),
        *([("Found nothing", ", ".join(clean))] if clean else []),
        *((f"Not checked, {reason}", ", ".join(codes)) for reason, codes in skipped.items()),
        ("Took", duration(examination.seconds) if examination.seconds >= _LEAST_SECONDS else "under 0.01 s"),
    )


def _card(finding: Finding) -> FindingCard:
    symptoms = finding.symptoms
    labels = tuple(dict.fromkeys(one.label for symptom in symptoms for one in symptom.evidence))
    has_detail = any(symptom.detail for symptom in symptoms)
    rows = tuple(_evidence(symptom, labels, has_detail) for symptom in symptoms)
    return FindingCard(
        finding,
        place_text(symptoms[0]) if len(symptoms) == 1 else count(len(symptoms), "layer"),
        ("Layer", *(["About"] if has_detail else []), *labels),
        rows[:_MOST_LAYERS],
        rows[_MOST_LAYERS:],
        SAFETY[finding.safety],
    )


def _evidence(symptom: Symptom, labels: Sequence[str], has_detail: bool) -> tuple[str, ...]:
    by_label = {one.label: measured_text(one).removeprefix(one.label).strip() for one in symptom.evidence}
    detail = [symptom.detail or MISSING] if has_detail else []
    return (shown_path(symptom.path), *detail, *(by_label.get(label, MISSING) for label in labels))


def _bars(
    name: str,
    outcomes: Sequence[ProbeOutcome],
    of: Callable[[ProbeOutcome], float],
    text: Callable[[float], str],
    most: float = math.nan,
) -> Bars | None:
    values = [of(outcome) for outcome in outcomes]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    whole = most if not math.isnan(most) else max(*finite, 1e-30)

    def share(value: float) -> float:
        return 0.0 if math.isnan(value) else round(min(max(value / whole, 0.0), 1.0), 4)

    return Bars(
        name, tuple((MISSING if math.isnan(value) else text(value), share(value)) for value in values)
    )


def _columns(examination: Examination) -> list[tuple[str, Callable[[LayerHealth], str]]]:
    codes: dict[str, list[str]] = {}
    for finding in examination.findings:
        for symptom in finding.symptoms:
            codes.setdefault(symptom.path, []).append(finding.code)
    columns: list[tuple[str, Callable[[LayerHealth], str]]] = [
        ("Layer", lambda layer: shown_path(layer.path)),
        ("Findings", lambda layer: ", ".join(codes.get(layer.path, [])) or MISSING),
        ("Class", lambda layer: layer.kind),
    ]
    if all(math.isnan(layer.input_deviation) for layer in examination.layers):
        return columns
    dead = ("Dead channels", lambda layer: MISSING if math.isnan(layer.dead) else f"{layer.dead:.0%}")
    return [
        *columns,
        ("Error (σ)", lambda layer: number(layer.error)),
        ("Mean off by up to (σ)", lambda layer: number(layer.mean_shift)),
        ("Running over exact variance", _ratios),
        ("Noise of batches (σ)", lambda layer: number(layer.noise)),
        ("Values per channel", lambda layer: number_text(layer.values) if layer.values else MISSING),
        ("Mean of the input", lambda layer: number(layer.input_mean)),
        ("Its deviation", lambda layer: number(layer.input_deviation)),
        *([dead] if any(layer.dead > 0 for layer in examination.layers) else []),
    ]


def _ratios(layer: LayerHealth) -> str:
    low, high = layer.variance_ratio_low, layer.variance_ratio_high
    return MISSING if math.isnan(low) else f"{number(low)} to {number(high)}"
