"""BN203: moving statistics that are not finite, or a negative variance."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.heal import calibrate_model
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import calibration, cost_of_statistics
from normwise.records import Symptom


class BrokenStatistics(Rule):
    """Moving statistics that are not finite, or a negative variance."""

    code = "BN203"
    name = "broken-statistics"
    severity = "error"
    needs = ("model",)
    finds = "NaN or infinity in moving means and variances, and variances below 0."
    safety = "safe"
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such channels."""
        for norm in facts.norms.values():
            if norm.is_finite or norm.mean is None or norm.variance is None:
                continue
            counts = {
                "channels with NaN": np.isnan(norm.mean) | np.isnan(norm.variance),
                "channels with infinity": np.isinf(norm.mean) | np.isinf(norm.variance),
                "channels with negative variance": norm.variance < 0,
            }
            evidence = [measured(label, found.sum()) for label, found in counts.items() if found.any()]
            badness = sum(each.value for each in evidence) / norm.channels
            yield found_in(facts, norm.path, *evidence, measured("of", norm.channels), badness=badness)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what is wrong."""
        labels = {one.label for symptom in symptoms for one in symptom.evidence}
        if "channels with NaN" in labels or "channels with infinity" in labels:
            return (
                "Moving statistics are not finite: one batch that was not finite, or too large for their type, is "
                "enough, and no later batch corrects it."
            )
        return "Moving variances are negative, as averaging or extrapolating weights can leave them."

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with moving and with exact statistics."""
        return cost_of_statistics(facts)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Calibrate."""
        return calibration(facts, symptoms)

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Replace the statistics by exact ones."""
        return calibrate_model(facts, symptoms)
