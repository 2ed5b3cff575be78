"""A record for the terminal: readable at 80 columns, and as plain text in a pipe."""

import textwrap

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from normwise.records import Benchmark, Recording, Run
from normwise.report.figures.tables import evenly
from normwise.report.formats.lines import WIDTH, aligned, plain
from normwise.report.views import benchmark_view, recording_view, run_view
from normwise.report.views.study_view import environment_rows
from normwise.visible import visible, visible_lines

_MOST_POINTS = 12


def benchmark_table(benchmark: Benchmark) -> Table:
    """Return the cases as a table for a ``rich`` console, with a section for each kind of work."""
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=Text(visible(benchmark_view.benchmark_summary(benchmark))),
        title_justify="left",
    )
    for name in benchmark_view.benchmark_header(benchmark)[1:]:
        table.add_column(name, justify="left" if name == "Shape" else "right")
    case = ""
    for comparison in benchmark.comparisons:
        if comparison.case != case:
            case = comparison.case
            table.add_section()
            table.add_row(Text(visible(case), style="bold"))
        table.add_row(
            *(Text(visible(cell)) for cell in benchmark_view.comparison_row(comparison, benchmark)[1:])
        )
    return table


def run_text(run: Run) -> str:
    """Return a run as plain text: its state, its outcome, some of its evaluations, its configuration."""
    parts = [
        *textwrap.wrap(run_view.run_title(run), WIDTH),
        *textwrap.wrap(run_view.run_state(run), WIDTH),
        "",
    ]
    result = run_view.result_rows(run)
    if result:
        parts += [*aligned(result), ""]
    if run.points:
        shown = evenly(len(run.points), _MOST_POINTS)
        if len(shown) < len(run.points):
            parts.append(f"{len(shown)} of {len(run.points)} evaluations:")
        table = [("step", "loss", "test loss", "test accuracy")]
        table += [run_view.point_row(run.points[i]) for i in shown]
        parts += [" ".join(f"{cell:>13}" for cell in row) for row in table]
        parts.append("")
    parts += aligned([*run_view.config_rows(run), *environment_rows(run.environment)])
    return visible_lines("\n".join(parts) + "\n")


def recording_text(recording: Recording) -> str:
    """Return a recording as plain text: the drift of each layer, then the model and the machine."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in recording_view.SHORT_HEADER:
        first = name == recording_view.SHORT_HEADER[0]
        table.add_column(name, justify="left" if first else "right", overflow="fold")
    for row in recording_view.short_rows(recording):
        table.add_row(*(Text(visible(cell)) for cell in row))
    parts = [
        recording_view.RECORDING_TITLE,
        "=" * len(recording_view.RECORDING_TITLE),
        *(
            textwrap.fill(text, WIDTH)
            for text in (
                recording_view.recording_verdict(recording),
                recording_view.recording_advice(recording),
                recording_view.recording_summary(recording),
            )
            if text
        ),
        "",
        plain(table),
        "",
        textwrap.fill(recording_view.LEGEND, WIDTH),
        "",
    ]
    about = [*recording_view.recording_rows(recording), *environment_rows(recording.environment)]
    return visible_lines("\n".join([*parts, *aligned(about)]) + "\n")
