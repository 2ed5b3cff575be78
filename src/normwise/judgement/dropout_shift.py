"""BN104: judgement of the variance that dropout adds to the input of a BN layer."""

import math
from collections.abc import Sequence

from normwise.judgement.three_passes import ThreePasses
from normwise.records import Severity, Symptom

#: Variance with dropout over that without, from which evaluation may be another network: 7 % of σ.
_SHIFTED = 1.15
#: How many times its standard error a shift must be.
TIMES_ERROR = 3.0
#: How many times as far as dropout shifts them a layer's own statistics may be off, to be blamed on it.
_TIMES_SHIFT = 4.0


def is_significant(ratio: float, error: float) -> bool:
    """Return whether a ratio of variances, which has this standard error, is far enough from 1."""
    return abs(ratio - 1) > TIMES_ERROR * error and max(ratio, 1 / ratio) >= _SHIFTED


def is_by_dropout(own: float, shift: float, rest: float, own_ratio: float, ratio: float) -> bool:
    """Return whether dropout explains how far the statistics that a layer keeps are from those without it.

    Args:
        own: Distance of those that it keeps.
        shift: Distance of those with dropout.
        rest: Distance of those that it keeps from those with dropout.
        own_ratio: Variance that it keeps, over that without dropout.
        ratio: Variance with dropout over that without.
    """
    too_far = own > _TIMES_SHIFT * shift or abs(math.log(own_ratio)) > 0.1 + 2 * abs(math.log(ratio))
    return not too_far and rest < own


def severity_of_dropout(symptoms: Sequence[Symptom], passes: ThreePasses) -> Severity:
    """Return a warning where the shift is significant, and exact statistics would help; evidence begins with it."""
    shifted = any(is_significant(each.evidence[0].value, each.evidence[1].value) for each in symptoms)
    return "warning" if shifted and passes.exact_helps else "info"


def message_of_dropout(symptoms: Sequence[Symptom]) -> str:
    """Return a sentence with the greatest shift."""
    ratio = symptoms[0].evidence[0].value
    return (
        f"Dropout before a BN layer makes its input's variance {ratio:.2g} times as great in training as it is in "
        "evaluation."
    )
