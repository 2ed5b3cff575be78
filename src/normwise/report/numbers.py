"""Formats of numbers, the same for page, terminal and Markdown.

A minus is the ASCII hyphen and there are no thousands separators: a number that is copied from a report
can be pasted into a program.
"""

import math
import re

MISSING = "–"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_EXPONENT = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e(-?\d+)\b")


def number(value: float) -> str:
    """Return the value with three significant digits: ``0.0123``, ``12.3``, ``1234``, ``1.23e-7``."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e5:
        return _scientific(value, digits=3, padded=True)
    # Steps and counts are exact: three digits would make 12345 into 12300.
    # From 999.5 on, "g" would round up into scientific notation.
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def quantity(value: float, *, percent: bool = False) -> str:
    """Return a value of a figure as text: :func:`number`, or a fraction as a percentage."""
    return f"{number(100 * value)}%" if percent and math.isfinite(value) else number(value)


def position(value: float | str) -> str:
    """Return a position on a figure's horizontal axis as text: a category unchanged, a number without padding zeros."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return number(value)
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return _scientific(value, digits=6, padded=False) if not 1e-3 <= abs(value) < 1e6 else f"{value:.6g}"


def span(low: float, high: float, *, percent: bool = False) -> str:
    """Both ends in brackets: ``[2.10, 4.00]``."""
    return f"[{quantity(low, percent=percent)}, {quantity(high, percent=percent)}]"


def spread(value: float, low: float, high: float, *, percent: bool = False) -> str:
    """Return a value with its spread, if it has one: ``0.310 [0.290, 0.340]``."""
    text = quantity(value, percent=percent)
    if math.isnan(value) or (math.isnan(low) and math.isnan(high)):
        return text
    return f"{text} {span(low, high, percent=percent)}"


def duration(seconds: float) -> str:
    """Return a time in the most readable unit: ``42.0 s``, ``12.3 min``, ``2.50 h``."""
    if not seconds >= 60:
        return f"{number(seconds)} s"
    return f"{number(seconds / 60)} min" if seconds < 3600 else f"{number(seconds / 3600)} h"


def count(how_many: int, singular: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{how_many} {singular}" if how_many == 1 else f"{how_many} {singular}s"


def power_of_ten(exponent: int) -> str:
    """Return a power of ten as people write it: ``10⁻¹⁶``."""
    return f"10{str(exponent).translate(_RAISED)}"


def without_exponents(text: str) -> str:
    """Return the text with each number such as ``4.88e-18`` as people write it: ``4.88 × 10⁻¹⁸``."""
    return _EXPONENT.sub(lambda found: f"{found[1]} × {power_of_ten(int(found[2]))}", text)


def _scientific(value: float, *, digits: int, padded: bool) -> str:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if not padded and "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"
