"""Names at the ends of lines, moved apart where they would cover one another."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from normwise.report.figures.chart.words import LINE

_LETTERS, _MOST_LINES = 16, 4
#: Chinese characters are wider.
_WIDE_LETTERS = 10


@dataclass(frozen=True)
class Label:
    """A name beside the end of a line.

    Attributes:
        words: Text of the label.
        y: Height of its first line of text.
        style: Style of the line.
    """

    words: str
    y: float
    style: int

    @property
    def lines(self) -> list[str]:
        """Return the name in lines."""
        return label_lines(self.words, _LETTERS if self.words.isascii() else _WIDE_LETTERS, _MOST_LINES)


def label_lines(words: str, letters: int, most: int) -> list[str]:
    """Return the words in lines of so many letters, a longer word broken, and no more lines than these."""
    return textwrap.wrap(words, letters, max_lines=most, placeholder="…") or [""]


def fits(words: str, letters: int, most: int) -> bool:
    """Tell whether the words stand in so many lines of so many letters, none broken and none left out."""
    broken = any(len(word) > letters for word in words.split())
    return not broken and len(textwrap.wrap(words, letters)) <= most


def spread_out(labels: Sequence[Label], top: float, bottom: float) -> list[Label]:
    """Return the labels from the top, none over another: pushed down, and up again from the bottom."""
    ordered = sorted(labels, key=lambda label: label.y)
    placed: list[Label] = []
    free = top
    for label in ordered:
        y = max(label.y + 3.5 - LINE * (len(label.lines) - 1) / 2, free)
        placed.append(replace(label, y=y))
        free = y + LINE * len(label.lines) + 2
    limit = bottom
    for i in reversed(range(len(placed))):
        height = LINE * (len(placed[i].lines) - 1)
        placed[i] = replace(placed[i], y=min(placed[i].y, limit - height))
        limit = placed[i].y - LINE - 2
    return placed
