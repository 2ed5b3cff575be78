"""BN104: dropout before a BN layer, which shifts the variance between training and evaluation."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normwise.judgement.dropout_shift import (
    TIMES_ERROR,
    is_by_dropout,
    is_significant,
    message_of_dropout,
    severity_of_dropout,
)
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.neighbours import carries_dropout, dropout_rate
from normwise.keras.doctor.facts.model.norm_facts import Channels, NormFacts
from normwise.keras.doctor.facts.model.wiring import Op
from normwise.keras.doctor.heal import calibrate_model
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import calibration, cost_of_statistics
from normwise.records import Severity, Symptom

#: Variance with dropout over that without, below which there is no note.
_SLIGHT = 1.05


class DropoutBeforeNorm(Rule):
    """Dropout before a BN layer, which shifts the variance between training and evaluation."""

    code = "BN104"
    name = "dropout-before-norm"
    severity = "warning"
    needs = ("data",)
    finds = (
        "Dropout whose values go into a BN layer, so that the variance of the layer's input is greater in training "
        "than in evaluation. It is a note if evaluation is not worse because of it."
    )
    safety = "safe"
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose variance is shifted; slight shifts only if there are no others."""
        found = list(_shifts(facts))
        for shift in [each for each in found if each.is_significant] or found:
            yield found_in(
                facts,
                shift.norm.path,
                measured("variance with dropout", shift.ratio, "times that without"),
                measured("its standard error", shift.error, "times"),
                measured("moving variance", shift.moving, "times that without"),
                measured("dropout rate", dropout_rate(shift.dropout.layer)),
                detail=f"after the dropout {shift.dropout.path!r}",
                badness=shift.ratio,
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a warning if the shift is significant and exact statistics would help."""
        return severity_of_dropout(symptoms, facts.probe)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Give the greatest shift."""
        return message_of_dropout(symptoms)

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with moving and with exact statistics."""
        return cost_of_statistics(facts)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Calibrate, and move dropout."""
        return (
            f"{calibration(facts, symptoms)}  # statistics without dropout\n"
            "# before the next training: move dropout after the last BN layer"
        )

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Replace the statistics by exact ones, which are without dropout."""
        return calibrate_model(facts, symptoms)


@dataclass(frozen=True)
class _Shift:
    """A BN layer whose input varies more with dropout.

    Attributes:
        norm: The layer.
        dropout: The dropout before it.
        ratio, error: Variance with dropout over that without, the mean over channels, and its standard error.
        moving: The moving variance over that without.
    """

    norm: NormFacts
    dropout: Op
    ratio: float
    error: float
    moving: float

    @property
    def is_significant(self) -> bool:
        return is_significant(self.ratio, self.error)


def _shifts(facts: Facts) -> Iterator[_Shift]:
    for op in facts.wiring.norms():
        dropout, norm = _dropout_before(op), facts.norms[op.path]
        if dropout is None or not facts.learns(norm) or norm.is_initial or not norm.is_finite:
            continue
        ratios = _ratios(facts, norm)
        if ratios is None:
            continue
        ratio, error, moving = ratios
        if ratio > _SLIGHT and ratio - 1 > TIMES_ERROR * error:
            yield _Shift(norm, dropout, ratio, error, moving)


def _dropout_before(norm: Op) -> Op | None:
    """Return the nearest dropout whose values reach a BN layer with nothing between that removes the shift."""
    queue, seen = list(norm.inputs), set(norm.inputs)
    while queue:
        op = queue.pop(0)
        if op.layer is None:
            continue
        if dropout_rate(op.layer):
            return op
        if carries_dropout(op.layer):
            further = [each for each in op.inputs if each not in seen]
            seen.update(further)
            queue += further
    return None


def _ratios(facts: Facts, norm: NormFacts) -> tuple[float, float, float] | None:
    """Return the ratio of variances with and without dropout, its standard error, and the ratio of the moving ones.

    Means over channels; None where that was not measured, or where the moving statistics are no nearer to those with
    dropout: they were recomputed without, or are wrong for another cause.
    """
    moments, exact = facts.probe.moments.get(norm.path), facts.probe.exact_statistics.get(norm.path)
    calls = facts.training_pass.by_batch(norm.path)
    if facts.training_pass.failed or not calls or moments is None or moments.not_finite or exact is None:
        return None
    if norm.mean is None or norm.variance is None:
        return None
    on, off = calls[0].moments, moments.calls[0]
    if on.count != off.count:
        return None
    usable = (off.variance > 1e-6 * off.variance.mean()) & (on.variance > 0) & np.isfinite(on.variance)
    usable &= (exact[1] > 0) & (norm.variance > 0)
    if not usable.any():
        return None
    ratios, own = (on.variance[usable] / off.variance[usable], norm.variance[usable] / exact[1][usable])
    deviations = np.sqrt(exact[1][usable])
    shifts = (on.mean - off.mean)[usable] / deviations
    own_shifts = (norm.mean - exact[0])[usable] / deviations
    error = float(ratios.std(ddof=1)) / len(ratios) ** 0.5 if len(ratios) > 1 else math.inf
    whole, typical = float(ratios.mean()), float(np.exp(np.log(own).mean()))
    before, rest = _distance(own_shifts, own), _distance(own_shifts - shifts, own / ratios)
    is_explained = is_by_dropout(before, _distance(shifts, ratios), rest, typical, whole)
    return (whole, error, typical) if is_explained else None


def _distance(means: Channels, ratios: Channels) -> float:
    """Return how far statistics are from others, by differences of means in σ and ratios of variances."""
    return float(np.sqrt(np.mean(np.square(means) + np.square(np.log(ratios) / 2))))
