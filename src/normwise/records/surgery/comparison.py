"""Sentences on how far a changed model's numbers are from the old one's, in training and in evaluation."""

import math


def gradient_note(sensitivity: float) -> str:
    """Explain gradients that differ by more than rounding; nothing where they don't (NaN)."""
    if math.isnan(sensitivity):
        return ""
    return (
        " (some unit changes sides at the kink of its activation; a change in the last digits moves the old "
        f"model's own gradients by {sensitivity:.1e})"
    )


def not_compared(left_out: str) -> list[str]:
    """Return a line on what could not be compared; none where all was."""
    return [f"not compared: {left_out}"] if left_out else []
