"""BN401: moving statistics in half precision."""

from collections.abc import Iterable, Sequence

import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.norm_facts import NormFacts
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Measured, Symptom

#: Last digit of a number of 1.
_DIGITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


class HalfPrecisionStatistics(Rule):
    """Moving statistics in half precision."""

    code = "BN401"
    name = "half-precision-statistics"
    severity = "warning"
    needs = ("model",)
    finds = "Moving means or variances that are stored in float16 or bfloat16, as under the dtype policies so named."
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such weights."""
        for norm in facts.norms.values():
            if norm.statistics_type in _DIGITS:
                evidence = _digits(norm)
                detail = f"{norm.statistics_type} weights"
                badness = max((each.value for each in evidence), default=0.0)
                yield found_in(facts, norm.path, *evidence, detail=detail, badness=badness)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the type."""
        layers = "A BN layer keeps" if len(symptoms) == 1 else f"{len(symptoms)} BN layers keep"
        dtype = symptoms[0].detail.split()[0]
        return f"{layers} moving statistics in {dtype}, where small updates are lost."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Mix the precisions."""
        dtype = symptoms[0].detail.split()[0]
        return f'keras.config.set_dtype_policy("mixed_{dtype}")  # before the model is built: weights stay in float32'


def _digits(norm: NormFacts) -> list[Measured]:
    """Return what the last digit of the statistics is worth: the largest over all channels."""
    if norm.mean is None or norm.variance is None:
        return []
    usable = np.isfinite(norm.mean) & np.isfinite(norm.variance) & (norm.variance > 0)
    if not usable.any():
        return []
    digit = _DIGITS[norm.statistics_type]
    of_mean = digit * float((np.abs(norm.mean[usable]) / np.sqrt(norm.variance[usable])).max())
    return [
        measured("last digit of a moving mean is worth up to", of_mean, "σ"),
        measured("of a moving variance", 100 * digit, "%"),
    ]
