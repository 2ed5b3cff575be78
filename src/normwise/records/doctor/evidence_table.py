"""Evidence of one finding in the columns of a terminal: a line for each layer, or for each number of a single one."""

import textwrap
from collections.abc import Callable, Sequence

from normwise.records.doctor.examination import Measured, Symptom

#: Least width of a column's title, which is wrapped above its numbers.
_TITLE = 12
_GAP = "  "


def number_lines(evidence: Sequence[Measured], shown: Callable[[Measured], str]) -> list[str]:
    """Return an aligned line for each number."""
    width = max((len(one.label) for one in evidence), default=0)
    return [f"{one.label:<{width}}{_GAP}{shown(one)}" for one in evidence]


def layer_table(
    symptoms: Sequence[Symptom],
    names: Sequence[str],
    shown: Callable[[Measured], str],
    width: int,
) -> list[str] | None:
    """Return a title and a line for each layer; None if layers have different numbers, or lines would be too long.

    Args:
        symptoms: Symptoms of the layers.
        names: Names of the layers.
        shown: Function that formats a number with its unit.
        width: Most characters of a line.
    """
    labels = [one.label for one in symptoms[0].evidence]
    if not labels or any([one.label for one in symptom.evidence] != labels for symptom in symptoms):
        return None
    columns = [
        ("layer", list(names)),
        *(
            (label, [shown(symptom.evidence[number]) for symptom in symptoms])
            for number, label in enumerate(labels)
        ),
    ]
    if any(symptom.detail for symptom in symptoms):
        columns.append(("", [symptom.detail for symptom in symptoms]))
    drawn = [_column(title, cells) for title, cells in columns]
    height = max(len(column) for column in drawn)
    filled = [[""] * (height - len(column)) + column for column in drawn]
    widths = [max(map(len, column)) for column in drawn]
    lines = [
        _GAP.join(f"{cell:<{size}}" for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in zip(*filled, strict=True)
    ]
    return lines if max(map(len, lines)) <= width else None


def _column(title: str, cells: list[str]) -> list[str]:
    """Return the title, wrapped, and the cells below it."""
    room = max(_TITLE, *map(len, cells))
    return [*textwrap.wrap(title, room, break_long_words=False), *cells]
