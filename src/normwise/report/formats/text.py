"""A record for the terminal: readable at 80 columns, and as plain text in a pipe."""

import textwrap
from collections.abc import Iterable
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normwise.records import Benchmark, ClaimResult, Recording, Run, Study, Verdict
from normwise.report.figures.tables import evenly
from normwise.report.numbers import effect_text, estimate, interval, levels
from normwise.report.views import benchmark_view, recording_view, run_view
from normwise.report.views.study_view import STUDY_TITLE, badge, environment_rows, study_rows, study_summary
from normwise.visible import visible, visible_lines

_WIDTH = 80
_MOST_POINTS = 12
_COLOURS: dict[Verdict, str] = {"supported": "green", "not supported": "red", "depends": "yellow"}


def study_table(study: Study) -> Table:
    """The verdicts as a table for a ``rich`` console: claim, verdict, main effect, sentence."""
    # Text, not str: rich would take "[2.10, 4.00]" or "[b]" in a str for markup.
    table = Table(box=SIMPLE_HEAD, pad_edge=False, leading=1, expand=False)
    table.add_column("Claim", min_width=15)
    table.add_column("Main effect and finding")
    for finding in study.findings:
        verdict = Text(badge(finding.verdict), style=f"bold {_COLOURS[finding.verdict]}", no_wrap=True)
        claim = Text(visible(finding.claim), style="bold", overflow="fold")
        table.add_row(Text("\n").join([claim, verdict]), _outcome(finding))
    return table


def benchmark_table(benchmark: Benchmark) -> Table:
    """The cases as a table for a ``rich`` console, a section for each kind of work."""
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


def study_text(study: Study) -> str:
    """The study as plain text, 80 columns wide: verdicts, all effects, machine."""
    parts = [
        STUDY_TITLE,
        "=" * len(STUDY_TITLE),
        textwrap.fill(study_summary(study), _WIDTH),
        "",
        _plain(study_table(study)),
        "",
    ]
    for finding in study.findings:
        parts += [textwrap.fill(finding.statement, _WIDTH), f"[{finding.claim}] {badge(finding.verdict)}"]
        for effect in finding.effects:
            note = f"; {effect.note}" if effect.note else ""
            line = f"- {effect.name}: {effect_text(effect)}{note}"
            parts.append(textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="    "))
        parts.append("")
    effects = [effect for finding in study.findings for effect in finding.effects]
    if effects:
        parts += [f"In brackets: {levels(effects)} confidence interval over seeds.", ""]
    parts += _aligned([*study_rows(study), *environment_rows(study.environment)])
    return visible_lines("\n".join(parts) + "\n")


def run_text(run: Run) -> str:
    """A run as plain text: how it stands, its outcome, some of its evaluations, its configuration."""
    parts = [
        *textwrap.wrap(run_view.run_title(run), _WIDTH),
        *textwrap.wrap(run_view.run_state(run), _WIDTH),
        "",
    ]
    result = run_view.result_rows(run)
    if result:
        parts += [*_aligned(result), ""]
    if run.points:
        shown = evenly(len(run.points), _MOST_POINTS)
        if len(shown) < len(run.points):
            parts.append(f"{len(shown)} of {len(run.points)} evaluations:")
        table = [("step", "loss", "test loss", "test accuracy")]
        table += [run_view.point_row(run.points[i]) for i in shown]
        parts += [" ".join(f"{cell:>13}" for cell in row) for row in table]
        parts.append("")
    parts += _aligned([*run_view.config_rows(run), *environment_rows(run.environment)])
    return visible_lines("\n".join(parts) + "\n")


def recording_text(recording: Recording) -> str:
    """What ``watch`` saw as plain text: the drift of each layer, then what was watched on what."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in recording_view.SHORT_HEADER:
        first = name == recording_view.SHORT_HEADER[0]
        table.add_column(name, justify="left" if first else "right", overflow="fold")
    for row in recording_view.short_rows(recording):
        table.add_row(*(Text(visible(cell)) for cell in row))
    parts = [
        recording_view.RECORDING_TITLE,
        "=" * len(recording_view.RECORDING_TITLE),
        textwrap.fill(recording_view.recording_summary(recording), _WIDTH),
        "",
        _plain(table),
        "",
        textwrap.fill(recording_view.LEGEND, _WIDTH),
        "",
    ]
    about = [*recording_view.recording_rows(recording), *environment_rows(recording.environment)]
    return visible_lines("\n".join([*parts, *_aligned(about)]) + "\n")


def _outcome(finding: ClaimResult) -> Text:
    text = Text()
    if finding.effects:
        effect = finding.effects[0]
        text.append(estimate(effect), style="bold").append(f" {interval(effect)} ")
        text.append(f"{visible(effect.name)}\n", style="dim")
    return text.append(visible_lines(finding.sentence))


def _aligned(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max(len(name) for name, _ in rows) + 2
    return [
        textwrap.fill(value, _WIDTH, initial_indent=name.ljust(width), subsequent_indent=" " * width)
        for name, value in rows
    ]


def _plain(table: Table) -> str:
    console = Console(file=StringIO(), width=_WIDTH, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines())
