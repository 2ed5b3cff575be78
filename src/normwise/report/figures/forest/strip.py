"""The forest plot in a terminal: a case in twenty characters, ``├──●───┤``."""

import math

from normwise.records import Case, Outcome
from normwise.report.figures.forest.axis import is_beyond, place

COLUMNS = 20
HEADER = "wrong ←   0  → right"
_DOTS: dict[Outcome, str] = {"shown": "●", "open": "○", "refuted": "✗", "reversed": "✗"}
#: Columns of effects that are too small to matter.
_BAND = range(7, 13)
_EDGE = place(1.0)


def strip(case: Case) -> str:
    """Return the case on the axis that all share; whiskers that leave it end in arrows."""
    cells = ["·" if column in _BAND else " " for column in range(COLUMNS)]
    if case.exact:
        shown = case.outcome == "shown"
        cells[_column(10.0 if shown else -10.0)] = "✓" if shown else "✗"
        return "".join(cells)
    estimate, low, high = case.position
    if not (math.isnan(low) or math.isnan(high)):
        first, last = _column(low), _column(high)
        cells[first : last + 1] = "─" * (last + 1 - first)
        cells[first] = "◄" if is_beyond(low) and low < 0 else "├"
        cells[last] = "►" if is_beyond(high) and high > 0 else "┤"
    if not math.isnan(estimate):
        cells[_column(estimate)] = _DOTS[case.outcome]
    return "".join(cells)


def _column(position: float) -> int:
    """Return a column; no effect that matters falls into the band, and none that does not out of it."""
    at = place(position)
    if abs(position) < 1:
        return _BAND.start + int((at / _EDGE + 1) / 2 * len(_BAND))
    beyond = int((abs(at) - _EDGE) / (1 - _EDGE) * _BAND.start)
    beyond = min(beyond, _BAND.start - 1)
    return _BAND.stop + beyond if position > 0 else _BAND.start - 1 - beyond
