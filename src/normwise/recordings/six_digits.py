"""Rounding of the numbers of a recording."""


def six_digits(value: float) -> float:
    """Return a number with six significant digits; seventeen would triple the size of a recording."""
    return float(f"{value:.6g}")
