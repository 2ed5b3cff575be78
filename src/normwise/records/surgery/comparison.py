"""Sentences on the distance of a changed model's numbers from the old model's, in training and evaluation."""

import math


def gradient_note(sensitivity: float) -> str:
    """Explain gradients that differ by more than rounding; return an empty text if they don't (NaN)."""
    if math.isnan(sensitivity):
        return ""
    return (
        " (some unit changes sides at the kink of its activation; a change in the last digits moves the old "
        f"model's own gradients by {sensitivity:.1e})"
    )


def not_compared(left_out: str) -> list[str]:
    """Return a line on comparisons that were not possible; none if all were."""
    return [f"not compared: {left_out}"] if left_out else []
