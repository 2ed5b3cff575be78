"""Lines of plain text, as wide as a terminal that is not asked how wide it is."""

import textwrap
from collections.abc import Iterable
from io import StringIO

from rich.console import Console
from rich.table import Table

WIDTH = 80


def aligned(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return names and values in two columns."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows) + 2
    return [
        textwrap.fill(value, WIDTH, initial_indent=name.ljust(width), subsequent_indent=" " * width)
        for name, value in rows
    ]


def plain(table: Table) -> str:
    """Return a table without colours, whatever the terminal."""
    console = Console(file=StringIO(), width=WIDTH, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines())
