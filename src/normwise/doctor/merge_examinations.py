"""Merge of the examinations of several processes."""

import math
from collections.abc import Sequence
from dataclasses import replace

from normwise.doctor.facts.processes.rank_facts import ranks_text
from normwise.records import SEVERITIES, Examination, Finding, ProbeOutcome, Safety, Symptom

#: Safeties, from the least safe.
_SAFETIES: tuple[Safety, ...] = ("manual", "unsafe", "safe")


def merge_examinations(examinations: Sequence[Examination], ranks: Sequence[int]) -> Examination:
    """Return the common examination of all processes: the union of their findings, and the outcomes of all.

    The text of a finding is that of the first rank that has it. A symptom that not all ranks have says which do.
    Loss, accuracy and distance are means over the batches of all ranks; the layers' numbers are those of the first
    rank.

    Args:
        examinations: Examination of each process by the same rules, in the order of the ranks.
        ranks: Ranks of the processes.
    """
    first = examinations[0]
    if len(examinations) == 1:
        return first
    codes = dict.fromkeys(finding.code for examination in examinations for finding in examination.findings)
    findings = [
        _merged(
            {
                rank: finding
                for rank, examination in zip(ranks, examinations, strict=True)
                for finding in examination.findings
                if finding.code == code
            },
            len(ranks),
        )
        for code in codes
    ]
    weights = [examination.batches for examination in examinations]
    return replace(
        first,
        findings=tuple(sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.code))),
        running=_outcome([examination.running for examination in examinations], weights),
        batch=_outcome([examination.batch for examination in examinations], weights),
        exact=_outcome([examination.exact for examination in examinations], weights),
        batches=sum(weights),
        seconds=max(examination.seconds for examination in examinations),
    )


def _merged(by_rank: dict[int, Finding], processes: int) -> Finding:
    first = next(iter(by_rank.values()))
    places: dict[str, dict[int, Symptom]] = {}
    for rank, finding in by_rank.items():
        for symptom in finding.symptoms:
            places.setdefault(symptom.path, {})[rank] = symptom
    symptoms = []
    for found in places.values():
        worst = max(found.values(), key=lambda symptom: symptom.badness)
        if len(found) < processes:
            where = f"on {ranks_text(list(found))} of {processes} processes"
            worst = replace(worst, detail=f"{where}, {worst.detail}" if worst.detail else where)
        symptoms.append(worst)
    return replace(
        first,
        severity=min((finding.severity for finding in by_rank.values()), key=SEVERITIES.index),
        symptoms=tuple(sorted(symptoms, key=lambda symptom: symptom.badness, reverse=True)),
        safety=min((finding.safety for finding in by_rank.values()), key=_SAFETIES.index),
    )


def _outcome(outcomes: Sequence[ProbeOutcome], weights: Sequence[int]) -> ProbeOutcome:
    return ProbeOutcome(
        _mean([outcome.loss for outcome in outcomes], weights),
        _mean([outcome.accuracy for outcome in outcomes], weights),
        math.sqrt(_mean([outcome.distance**2 for outcome in outcomes], weights)),
    )


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    whole = sum(weights)
    return (
        sum(value * weight for value, weight in zip(values, weights, strict=True)) / whole
        if whole
        else math.nan
    )
