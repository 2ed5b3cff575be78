"""A drawing with the Chinese of its words, which the page's script shows where Chinese is chosen."""

import html
import textwrap
from collections.abc import Callable
from typing import Any

from normwise.report.figures.drawing import wrapped

#: Characters a line; Chinese ones are twice as wide as others.
_NAME_WIDTH, _AXIS_WIDTH = 20, 20


def with_chinese(drawn: dict[str, Any], chinese: Callable[[str], str], named: bool = False) -> dict[str, Any]:
    """Return the drawing with its words in Chinese: each trace's name, or that of its colours, and the axes' titles.

    None stands for a word that has no Chinese, and for all traces that are named after things, such as runs.
    """
    layout = drawn["layout"]
    words = {
        "names": [
            None if named else _chinese(_name(trace), _NAME_WIDTH, chinese) for trace in drawn["traces"]
        ],
        "x": _chinese(layout["xaxis"]["title"]["text"], _AXIS_WIDTH, chinese),
        "y": _chinese(layout["yaxis"]["title"]["text"], _AXIS_WIDTH, chinese),
    }
    return drawn | {"chinese": words}


def _name(trace: dict[str, Any]) -> str:
    """Return the name of a trace as it is drawn, or the title of its colours; empty if it has neither."""
    return trace["colorbar"]["title"]["text"] if "colorbar" in trace else trace.get("name", "")


def _chinese(words: str, width: int, chinese: Callable[[str], str]) -> str | None:
    found = chinese(html.unescape(words.replace("<br>", " ")))
    return wrapped(" ".join(textwrap.wrap(found, width)), width) if found else None
