"""BN201: moving statistics that are not those of the data."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.passes.moving_statistics import (
    BAD,
    HIGH_MOMENTUM,
    INITIAL_SHARE,
    initial_share,
    is_off,
    layer_errors,
)
from normwise.keras.doctor.heal import calibrate_model
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import calibration, cost_of_statistics
from normwise.records import Severity, Symptom

#: Weight of a new batch below which the moving average covers too many steps: the weights have changed meanwhile.
_SLOW = 0.02


class StaleStatistics(Rule):
    """Moving statistics that are not those of the data."""

    code = "BN201"
    name = "stale-statistics"
    severity = "error"
    needs = ("data",)
    finds = (
        "Moving statistics that are far from those of the data, by more than the noise of a moving average. If "
        "evaluation is not worse because of it, it is a note, from an error of 0.5 σ on."
    )
    safety = "safe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose error is above the noise, where exact statistics would help or the error is large."""
        probe = facts.probe
        if probe.failed or facts.is_new:
            return
        for path, (error, noise) in layer_errors(facts).items():
            norm = facts.norms[path]
            if not is_off(error, noise) or (error < BAD and not probe.exact_helps):
                continue
            # A frozen layer was trained with the statistics that it has; only a loss can show that others are better.
            if not facts.learns(norm) and not (probe.has_loss and probe.exact_helps):
                continue
            if norm.mean is None or norm.variance is None:
                continue
            mean, variance = probe.exact_statistics[path]
            floor = 1e-12 * max(float(variance.max()), 1e-30)
            usable = variance > floor
            ratios = norm.variance[usable] / variance[usable] if usable.any() else np.ones(1)
            shift = np.abs(norm.mean - mean) / np.sqrt(variance + norm.eps)
            yield found_in(
                facts,
                path,
                measured("normalised values off by", error, "σ"),
                measured("moving mean by up to", shift.max(), "σ"),
                measured("moving variance at least", ratios.min(), "times the data's"),
                measured("at most", ratios.max(), "times"),
                measured("noise of a moving average", noise, "σ"),
                badness=error,
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the probable cause."""
        harmless = (
            ""
            if facts.probe.exact_helps
            else ". Evaluation of the model as a whole is not worse because of it"
        )
        return f"The moving statistics are not those of the data: {_cause(facts, symptoms)}{harmless}."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Judge by what evaluation with exact statistics gains."""
        return facts.probe.severity_by_cost if facts.probe.exact_helps else "info"

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with moving and with exact statistics."""
        return cost_of_statistics(facts)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Calibrate."""
        return calibration(facts, symptoms)

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Replace the statistics by exact ones."""
        return calibrate_model(facts, symptoms)


def _cause(facts: Facts, symptoms: Sequence[Symptom]) -> str:
    norm = facts.norms[symptoms[0].path]
    share, momentum = initial_share(norm), norm.momentum
    if momentum is None:
        return "the weights changed after the statistics were collected, or the data did"
    if share > INITIAL_SHARE:
        steps = f"{norm.steps} step{'s' * (norm.steps != 1)}"
        return f"momentum={momentum:g} after {steps} keeps {share:.0%} of the initial statistics"
    variance = float(np.median(facts.probe.exact_statistics[norm.path][1]))
    # The initial variance is 1, and a small share of it is much compared with a small variance.
    if share > INITIAL_SHARE * variance:
        return (
            f"momentum={momentum:g} after {norm.steps} steps keeps {share:.2g} of the initial variance 1, and that of "
            f"the data is {variance:.2g}"
        )
    if norm.new_share > HIGH_MOMENTUM:
        return f"momentum={momentum:g} keeps little more than the last batch"
    if norm.steps is not None and norm.new_share < _SLOW:
        steps = f"{1 / max(norm.new_share, 1e-9):,.0f}"
        return f"momentum={momentum:g} averages over {steps} steps, in which the weights changed"
    return "the weights changed after the statistics were collected, as averaging or pruning does, or the data did"
