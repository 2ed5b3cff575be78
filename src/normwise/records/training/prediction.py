"""Prediction of a network for one input."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """The class of an input.

    Attributes:
        input: What was classified: a file, or a text.
        label: The most probable class.
        probability: Of that class.
        probabilities: Of each class.
    """

    input: str
    label: str
    probability: float
    probabilities: Mapping[str, float]
