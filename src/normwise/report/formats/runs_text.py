"""Several runs for the terminal: a table, or side by side."""

from collections.abc import Mapping, Sequence

from normwise.records import Run
from normwise.report.views.runs_view import RUNS_HEADER, difference_rows, outcome_rows, run_row
from normwise.visible import visible


def runs_text(runs: Mapping[str, Run | str]) -> str:
    """Return one line per run with the name of its folder; if a run can't be read, the reason instead."""
    readable = {name: run for name, run in runs.items() if isinstance(run, Run)}
    lines = _columns([RUNS_HEADER, *(run_row(name, run) for name, run in readable.items())])
    damaged = [f"{name}: {reason}" for name, reason in runs.items() if isinstance(reason, str)]
    return "\n".join([*(lines if readable else []), *map(visible, damaged)])


def comparison_text(runs: Mapping[str, Run]) -> str:
    """Return runs side by side: the options in which they differ, then their outcomes."""
    return "\n".join(_columns([("", *runs), *difference_rows(runs), *outcome_rows(runs)]))


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]
