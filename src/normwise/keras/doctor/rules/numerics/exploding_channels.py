"""BN406: channels with values that are not finite, or near the largest number of their type."""

from collections.abc import Iterable, Sequence

import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Severity, Symptom

#: Share of the largest float16 number from which values are near it.
_NEAR_END = 0.125
_LARGEST_HALF = 65504.0


class ExplodingChannels(Rule):
    """Channels with values that are not finite, or near the largest number of their type."""

    code = "BN406"
    name = "exploding-channels"
    severity = "error"
    needs = ("data",)
    finds = (
        "Inputs of a BN layer that are not finite, or float16 inputs that exceed an eighth of the largest number of "
        "that type."
    )
    safety = "manual"
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such inputs."""
        for path, moments in facts.probe.moments.items():
            if moments.not_finite:
                calls = len(moments.calls) + moments.not_finite
                yield found_in(
                    facts,
                    path,
                    measured("batches with values that are not finite", moments.not_finite),
                    measured("of", calls),
                    badness=float("inf"),
                )
                continue
            largest = float(np.maximum(np.abs(moments.high), np.abs(moments.low)).max())
            if moments.dtype == "float16" and largest > _NEAR_END * _LARGEST_HALF:
                yield found_in(
                    facts,
                    path,
                    measured("greatest absolute value", largest),
                    measured("largest float16", _LARGEST_HALF),
                    badness=largest,
                )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a warning if all are still finite."""
        return "error" if any(symptom.badness == float("inf") for symptom in symptoms) else "warning"

    def explained(self, facts: Facts, symptoms: Sequence[Symptom]) -> set[str]:
        """Return all layers if one gets values that are not finite: the layers after it get only such values."""
        return set(facts.norms) if self.severity_of(facts, symptoms) == "error" else set()

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say which of the two it is."""
        order = list(facts.probe.order)
        first = min(symptoms, key=lambda symptom: order.index(symptom.path))
        if self.severity_of(facts, symptoms) == "error":
            return f"The data, or the layers before {first.path}, give values that are not finite."
        return f"Values of {first.path} are near the largest float16 number."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Find the cause."""
        if self.severity_of(facts, symptoms) == "error":
            return "# look for NaN and infinity in the data first, then in the weights of the layers before"
        return 'keras.config.set_dtype_policy("mixed_bfloat16")  # which has the range of float32; or smaller inputs'
