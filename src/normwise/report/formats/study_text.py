"""A study for the terminal: the forest plot in 80 columns, then each claim's take-away and advice."""

import textwrap

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from normwise.records import ClaimResult, Study, Verdict, case_words, range_words
from normwise.report.figures.forest.strip import COLUMNS, HEADER, strip
from normwise.report.formats.lines import WIDTH, aligned, plain
from normwise.report.views.study_view import STUDY_TITLE, environment_rows, study_line, study_rows
from normwise.report.views.verdicts import (
    SYMBOLS,
    beside_the_headline,
    groups,
    headline,
    outcome_words,
    to_do,
    tutorials,
    verdict_words,
)
from normwise.visible import visible, visible_lines

_COLOURS: dict[Verdict, str] = {
    "supported": "green",
    "depends": "yellow",
    "not supported": "red",
    "undecided": "bright_black",
}
_LEGEND = (
    "A line a case, with its 95% interval; unit: the smallest effect that matters. · too small to matter, ● shown, "
    "○ open, ✗ too small or the contrary, ✓ exact, ◄ ► beyond the axis. 000 to 004: tutorials that say it."
)


def study_table(study: Study) -> Table:
    """Return the forest plot as a table for a ``rich`` console: claim, cases, verdict with its numbers."""
    # Text, not str: rich would take "[b]" in a str for markup.
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, leading=1, expand=False, caption=_LEGEND, caption_justify="left"
    )
    table.title, table.title_justify = Text(visible(headline(study).en), style="bold"), "left"
    table.add_column("Claim", min_width=26, ratio=1)
    table.add_column(HEADER, width=COLUMNS, no_wrap=True)
    table.add_column("Verdict", min_width=24, ratio=1)
    for _, question, findings in groups(study):
        table.add_row(Text(question.en, style="bold underline"))
        for finding in findings:
            strips = Text("\n").join(Text(strip(case)) for case in finding.cases)
            table.add_row(_claim(finding), strips, _answer(finding))
    return table


def study_text(study: Study) -> str:
    """Return the study as plain text, 80 columns wide: the forest, take-aways, all cases, machine."""
    parts = [STUDY_TITLE, "=" * len(STUDY_TITLE)]
    things = [do.en if not i else f"{do.en[0].lower()}{do.en[1:]}" for i, (_, do) in enumerate(to_do(study))]
    sentences = [
        headline(study).en,
        *(sentence.en for sentence in beside_the_headline(study)),
        *([f"What to do: {'; '.join(things)}."] if things else []),
        study_line(study).en,
    ]
    parts += [textwrap.fill(visible(sentence), WIDTH) for sentence in sentences]
    table = study_table(study)
    # The headline stands above it.
    table.title = None
    parts += ["", plain(table), ""]
    for _, _, findings in groups(study):
        for finding in findings:
            parts += [*_section(finding), ""]
    parts += aligned([*study_rows(study), *environment_rows(study.environment)])
    return visible_lines("\n".join(parts) + "\n")


def _claim(finding: ClaimResult) -> Text:
    said = " ".join(tutorials(finding)) or "ours"
    text = Text(visible(finding.statement.en), overflow="fold")
    return text.append(f"\n{visible(finding.claim)} ", style="dim").append(visible(said), style="dim")


def _answer(finding: ClaimResult) -> Text:
    words = f"{SYMBOLS[finding.verdict]} {verdict_words(finding).en}"
    text = Text(visible(words), style=f"bold {_COLOURS[finding.verdict]}", overflow="fold")
    return Text("\n").join([text, Text(visible(range_words(finding.cases).en), overflow="fold")])


def _section(finding: ClaimResult) -> list[str]:
    parts = [
        textwrap.fill(visible(finding.statement.en), WIDTH),
        textwrap.fill(
            visible(f"[{finding.claim}] {SYMBOLS[finding.verdict]} {verdict_words(finding).en}"), WIDTH
        ),
        textwrap.fill(visible(finding.takeaway.en), WIDTH),
        textwrap.fill(visible(f"What to do: {finding.advice.en}"), WIDTH),
    ]
    for case in finding.cases:
        note = f"; {case.effect.note}" if case.effect.note else ""
        line = f"- {case.gloss.en}: {case_words(case).en}, {outcome_words(case).en}{note}"
        parts.append(textwrap.fill(visible(line), WIDTH, initial_indent="  ", subsequent_indent="    "))
    return parts
