"""Proof of fixes: comparison of the examinations before and after them."""

import math
from collections.abc import Sequence

from normwise.records.doctor.examination import Examination, Remedy

#: Largest allowed increase of the loss, relative: rounding.
_ROUNDING = 1e-3
#: Largest allowed decrease of accuracy if there is no loss to compare: that of some samples at the decision
#: boundary.
_LOST = 0.02


def faults_of(remedies: Sequence[Remedy], before: Examination, after: Examination) -> list[str]:
    """Return the objections to the fixes."""
    found = {finding.code: len(finding.symptoms) for finding in after.findings}
    faults = [
        f"{remedy.code} is found again in {found[remedy.code]} places"
        for remedy in remedies
        if remedy.applied and remedy.code in found
    ]
    known = {finding.code for finding in before.findings}
    faults += [
        f"{finding.code} {finding.name} is new"
        for finding in after.findings
        if finding.code not in known and finding.severity == "error"
    ]
    old, new = before.running.loss, after.running.loss
    if math.isfinite(old) and not new <= old * (1 + _ROUNDING) + _ROUNDING:
        faults.append(f"the loss in evaluation is {new:.4g}, and was {old:.4g}")
    if not math.isfinite(old) and after.running.accuracy < before.running.accuracy - _LOST:
        faults.append(
            f"accuracy in evaluation is {after.running.accuracy:.1%}, and was {before.running.accuracy:.1%}"
        )
    old, new = before.running.distance, after.running.distance
    if math.isfinite(old) and not new <= old * (1 + _ROUNDING) + _ROUNDING:
        faults.append(f"outputs are {new:.3g} σ from those with exact statistics, and were {old:.3g} σ")
    return faults


def proof_of(before: Examination, after: Examination) -> str:
    """Return the gain of the fixes as text."""
    old, new = before.running, after.running
    if not math.isnan(new.accuracy):
        was = "unknown" if math.isnan(old.accuracy) else f"{old.accuracy:.1%}"
        text = f"accuracy in evaluation {was} before, {new.accuracy:.1%} after"
        return text if math.isnan(new.loss) else f"{text}; loss {old.loss:.3g} before, {new.loss:.3g} after"
    if not math.isnan(new.loss):
        return f"loss in evaluation {old.loss:.3g} before, {new.loss:.3g} after"
    if new.distance < old.distance:
        return f"outputs were {old.distance:.2g} σ from those with exact statistics, and are {new.distance:.2g} σ"
    return "the findings are gone"
