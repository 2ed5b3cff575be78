"""Judgement for BN104: the variance that dropout adds to the input of a BN layer."""

import math
from collections.abc import Sequence

from normwise.judgement.three_passes import ThreePasses
from normwise.records import Severity, Symptom

#: Ratio of the variance with dropout to that without, from which evaluation may differ: 7 % of σ.
_SHIFTED = 1.15
#: Least shift in multiples of its standard error.
TIMES_ERROR = 3.0
#: Largest error of a layer's statistics that is attributed to dropout, in multiples of dropout's shift.
_TIMES_SHIFT = 4.0


def is_significant(ratio: float, error: float) -> bool:
    """Return whether a ratio of variances with a standard error is significantly different from 1."""
    return abs(ratio - 1) > TIMES_ERROR * error and max(ratio, 1 / ratio) >= _SHIFTED


def is_by_dropout(own: float, shift: float, rest: float, own_ratio: float, ratio: float) -> bool:
    """Return whether dropout explains the distance of a layer's running statistics from those without dropout.

    Args:
        own: Distance of the running statistics from those without dropout.
        shift: Distance of the statistics with dropout from those without.
        rest: Distance of the running statistics from those with dropout.
        own_ratio: Running variance divided by that without dropout.
        ratio: Variance with dropout divided by that without.
    """
    too_far = own > _TIMES_SHIFT * shift or abs(math.log(own_ratio)) > 0.1 + 2 * abs(math.log(ratio))
    return not too_far and rest < own


def severity_of_dropout(symptoms: Sequence[Symptom], passes: ThreePasses) -> Severity:
    """Return a warning if the shift, the first number of the evidence, is significant and exact statistics help."""
    shifted = any(is_significant(each.evidence[0].value, each.evidence[1].value) for each in symptoms)
    return "warning" if shifted and passes.exact_helps else "info"


def message_of_dropout(symptoms: Sequence[Symptom]) -> str:
    """Return a sentence with the greatest shift."""
    ratio = symptoms[0].evidence[0].value
    return (
        f"Dropout before a BN layer makes its input's variance {ratio:.2g} times as great in training as it is in "
        "evaluation."
    )
