"""BN202: moving statistics that no batch has ever updated."""

from collections.abc import Iterable, Sequence
from typing import Any

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.norm_facts import NormFacts
from normwise.keras.doctor.facts.passes.moving_statistics import FINE, layer_errors
from normwise.keras.doctor.heal import calibrate_model
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import calibration, cost_of_statistics
from normwise.records import Measured, Severity, Symptom


class NeverUpdatedStatistics(Rule):
    """Moving statistics that no batch has ever updated."""

    code = "BN202"
    name = "never-updated-statistics"
    severity = "error"
    needs = ("model",)
    finds = (
        "Moving means of exactly 0 and variances of exactly 1, as in a new layer, in a model that was trained, or "
        "whose data have other means and variances."
    )
    safety = "safe"
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with initial statistics that the data, or other numbers, contradict."""
        errors = None
        if "data" in facts.has and not facts.probe.failed:
            errors = {path: error for path, (error, _) in layer_errors(facts).items()}
        moved = [norm for norm in facts.norms.values() if norm.mean is not None and not norm.is_initial]
        for norm in facts.norms.values():
            frozen = not norm.trainable
            # γ and β may include the statistics of a frozen layer, unless they are initial as well.
            if not norm.is_initial or (frozen and norm.parameter_spread):
                continue
            evidence: tuple[Measured, ...] = (measured("channels with mean 0 and variance 1", norm.channels),)
            if norm.steps is not None:
                evidence += (measured("steps of the optimizer", norm.steps),)
            if errors is not None:
                error = errors.get(norm.path)
                # A layer that the data do not reach shows nothing.
                if error is None or error <= FINE:
                    continue
                error_first = (measured("normalised values off by", error, "σ"), *evidence)
                yield found_in(facts, norm.path, *error_first, badness=error)
            elif frozen:
                continue  # it may pass its input on by intention
            elif spread := norm.parameter_spread:
                moves = measured("γ and β have changed by up to", spread)
                yield found_in(facts, norm.path, *evidence, moves, badness=1 + spread)
            elif moved or norm.steps:
                yield found_in(
                    facts, norm.path, *evidence, measured("layers whose statistics changed", len(moved))
                )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Judge by whether training has begun, and by how certain it is that the layer was trained."""
        norms = _norms(facts, symptoms)
        if facts.is_new:
            return "info"
        if all(not norm.trainable for norm in norms):
            return "error" if facts.probe.has_loss and facts.probe.exact_helps else "warning"
        return "error" if "data" in facts.has or any(norm.parameter_spread for norm in norms) else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the probable cause."""
        return f"The moving statistics are those of a new layer, mean 0 and variance 1: {_cause(facts, symptoms)}."

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with moving and with exact statistics."""
        return cost_of_statistics(facts)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Load them, or calibrate."""
        return f"{calibration(facts, symptoms)}  # or load weights with moving_mean and moving_variance"

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Replace the statistics by exact ones."""
        return calibrate_model(facts, symptoms)


def _norms(facts: Facts, symptoms: Sequence[Symptom]) -> list[NormFacts]:
    return [facts.norms[symptom.path] for symptom in symptoms]


def _cause(facts: Facts, symptoms: Sequence[Symptom]) -> str:
    norms = _norms(facts, symptoms)
    if all(not norm.trainable for norm in norms):
        return "the layers have trainable=False, which means inference in Keras, and nothing was loaded into them"
    if all(norm.momentum == 1 for norm in norms):
        return "momentum=1 ignores every batch"
    if facts.is_new:
        return "the model has not seen a batch in training yet"
    if all(norm.path in facts.in_evaluation for norm in norms):
        return "the layers are called with training=False in training, too"
    if any(norm.steps for norm in norms):
        return "the optimizer has made steps, so the layers were called without training=True, or reset since"
    return "they were never loaded, or the layer was never called with training=True"
