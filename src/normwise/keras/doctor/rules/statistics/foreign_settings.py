"""BN205: momentum or ε in the convention of another framework."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.norm_facts import NormFacts
from normwise.keras.doctor.facts.passes.moving_statistics import HIGH_MOMENTUM
from normwise.keras.doctor.heal import calibrate_model
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import calibration, cost_of_statistics, paths_code
from normwise.records import Safety, Severity, Symptom

#: ε of torch.
_FOREIGN_EPS = 1e-5


class ForeignSettings(Rule):
    """Momentum or ε in the convention of another framework."""

    code = "BN205"
    name = "foreign-settings"
    severity = "warning"
    needs = ("model",)
    finds = (
        "A momentum below 0.5, such as 0.1 or 0.01, which is the weight of the new batch in torch but of the old "
        "value in Keras; and a few layers with torch's ε = 0.00001 in a model whose other layers have another ε."
    )
    safety = "safe"
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such a momentum, or the few with another ε than all others."""
        low = [norm for norm in facts.norms.values() if _low(facts, norm) is not None]
        for norm in low:
            momentum = _low(facts, norm) or 0.0
            evidence = [
                measured("momentum", momentum),
                measured("steps that the moving average remembers", 1 / (1 - momentum)),
            ]
            moments = facts.probe.moments.get(norm.path) if "data" in facts.has else None
            if moments is not None and len(moments.calls) > 1:
                noise = float(np.median(np.nan_to_num(moments.mean_noise)))
                evidence.append(measured("means of batches scatter by", noise, "σ"))
            yield found_in(facts, norm.path, *evidence, badness=1 - momentum)
        if not low:
            for norm in _other_eps(facts):
                yield found_in(facts, norm.path, measured("ε", norm.eps))

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Make it an error where evaluation is clearly worse for it, and a note for ε alone."""
        if _is_eps(facts, symptoms):
            return "info"
        probe = facts.probe if "data" in facts.has else None
        harmed = probe is not None and not probe.failed and probe.exact_helps
        return "error" if harmed and facts.probe.severity_by_cost == "error" else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the momentum, and what it should be."""
        momentum = _low(facts, facts.norms[symptoms[0].path])
        if momentum is None:
            return f"A few layers have epsilon={_FOREIGN_EPS:g}, as in torch, and all others have another ε."
        return (
            f"momentum={momentum:g} follows the convention of torch: in Keras the last batch then has the weight "
            f"{1 - momentum:.3g}, and the intended average needs momentum={1 - momentum:.3g}."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with moving and with exact statistics."""
        return "" if _is_eps(facts, symptoms) else cost_of_statistics(facts)

    def safety_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Safety:
        """Return "manual" for ε: the ε of training is unknown."""
        return "manual" if _is_eps(facts, symptoms) else "safe"

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Set momentum, and calibrate."""
        if _is_eps(facts, symptoms):
            return "layer.epsilon = ...  # the ε of training, for each of the layers above"
        return (
            f"for layer in {paths_code(symptoms)}:\n"
            "    layer.momentum = 1 - layer.momentum\n"
            "model.compile(...)  # again, as before: a compiled step keeps the old momentum\n"
        ) + calibration(facts, symptoms)

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Set momentum, and replace the statistics by exact ones where there are data."""
        for symptom in symptoms:
            layers[symptom.path].momentum = 1 - layers[symptom.path].momentum
        done = (
            f"momentum of {len(symptoms)} layers is 1 - momentum now: compile the model again before training"
        )
        return f"{done}; {calibrate_model(facts, symptoms)}" if "data" in facts.has else done


def _low(facts: Facts, norm: NormFacts) -> float | None:
    """Return the momentum of a layer if it follows the convention of torch."""
    if norm.momentum is None or not norm.trainable:
        return None
    return norm.momentum if 0 < norm.momentum < 1 - HIGH_MOMENTUM else None


def _is_eps(facts: Facts, symptoms: Sequence[Symptom]) -> bool:
    return all(_low(facts, facts.norms[symptom.path]) is None for symptom in symptoms)


def _other_eps(facts: Facts) -> list[NormFacts]:
    """Return the layers with torch's ε, if most others share another one."""
    norms = list(facts.norms.values())
    foreign = [norm for norm in norms if abs(norm.eps - _FOREIGN_EPS) < 1e-9]
    is_few = len({norm.eps for norm in norms}) == 2 and 2 * len(foreign) < len(norms)
    return foreign if is_few else []
