"""Prediction of a network for one input."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """Predicted class of an input.

    Attributes:
        input: Classified file or text.
        label: Most probable class.
        probability: Probability of that class.
        probabilities: Probability of each class.
        note: Reason to doubt the prediction, such as an image that seems to be inverted; None if there is none.
    """

    input: str
    label: str
    probability: float
    probabilities: Mapping[str, float]
    note: str | None = None
