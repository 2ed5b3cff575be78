"""A study as Markdown: what ``docs/evidence.md`` is made of."""

from collections.abc import Iterable, Sequence

from normwise.records import (
    Case,
    ClaimResult,
    Figure,
    Source,
    Study,
    case_words,
    estimate_words,
    interval_words,
    range_words,
)
from normwise.report.figures.forest.strip import HEADER, strip
from normwise.report.figures.tables import figure_table
from normwise.report.numbers import count, without_exponents
from normwise.report.views.study_view import environment_rows, study_line, study_rows
from normwise.report.views.verdicts import (
    FURTHER,
    SYMBOLS,
    beside_the_headline,
    control_name,
    groups,
    headline,
    outcome_words,
    smallest_words,
    to_do,
    tutorials,
    verdict_words,
)

_MOST_ROWS = 12


def study_markdown(study: Study) -> str:
    """Return the whole study; curves are thinned to a dozen rows, and it says where."""
    first = headline(study)
    blocks = [f"# {_text(first.en)}", _text(first.zh)]
    blocks += [_text(f"{sentence.en} {sentence.zh}") for sentence in beside_the_headline(study)]
    things = to_do(study)
    if things:
        lines = [f"[{_text(do.en)}](#{_attribute(finding.claim)}) ({_text(do.zh)})" for finding, do in things]
        blocks += ["**What to do**", _list(lines)]
    blocks.append(_text(study_line(study).en))
    for _, question, findings in groups(study):
        blocks += [
            f"## {question.en}",
            _table(
                ("Claim", "Said by", "Verdict", "Measured"),
                (
                    (_link(one), _said(one), f"**{_answer(one)}**", _text(range_words(one.cases).en))
                    for one in findings
                ),
                escaped=True,
            ),
        ]
    for _, _, findings in groups(study):
        for finding in findings:
            blocks += _finding(finding)
    blocks += [
        "## How it was run",
        _table(("", ""), [*study_rows(study), *environment_rows(study.environment)]),
    ]
    return "\n\n".join(blocks) + "\n"


def _finding(finding: ClaimResult) -> list[str]:
    seeds = f"{'seed' if len(finding.seeds) == 1 else 'seeds'} {', '.join(map(str, finding.seeds))}"
    blocks = [
        # An anchor of our own: how a heading is turned into one differs between hosts.
        f'<a id="{_attribute(finding.claim)}"></a>\n\n## {_text(finding.statement.en)}',
        _text(finding.statement.zh),
        f"**{_answer(finding)}** (`{_attribute(finding.claim)}`; {_said(finding)})",
        f"{_text(finding.takeaway.en)} {_text(finding.takeaway.zh)}",
        f"**What to do.** {_text(finding.advice.en)} {_text(finding.advice.zh)}",
        _numbers(finding),
        "### Protocol",
        _list(map(_text, finding.protocol)),
        f"It rests on {count(finding.runs, 'run')}, {seeds}.",
        f"**Rule.** {_text(finding.rule)} Fixed on {_text(finding.dated)}, before its runs."
        + (f" Revised then: {_text(finding.revised)}" if finding.revised else ""),
        f"**What would have shown it false.** {_text(finding.falsifier)}",
    ]
    if finding.sources or finding.says:
        said = [f"Tutorial {_text(saying.tutorial)}: {_text(saying.section)}" for saying in finding.says]
        blocks += ["### Sources", _list([*said, *map(_source, finding.sources)])]
    for figure in finding.figures:
        blocks += _figure(figure)
    return blocks


def _numbers(finding: ClaimResult) -> str:
    rows = [_case_row(case.gloss.en, case) for case in finding.cases]
    rows += [_case_row(control_name(case).en, case) for case in finding.controls]
    rows += [
        (
            FURTHER.en,
            "",
            effect.name,
            estimate_words(effect).en,
            interval_words(effect).en,
            "",
            "",
            effect.note,
        )
        for effect in finding.further
    ]
    header = ("Case", HEADER.strip(), "Measured", "Estimate", "Interval", "Matters from", "Outcome", "Note")
    return _table(header, rows)


def _case_row(name: str, case: Case) -> tuple[str, ...]:
    effect = case.effect
    measured = (
        (case_words(case).en, "") if case.exact else (estimate_words(effect).en, interval_words(effect).en)
    )
    # Markdown leaves out spaces at the ends of a cell.
    drawn = strip(case).replace(" ", "\u00a0")
    return (name, drawn, effect.name, *measured, smallest_words(case).en, outcome_words(case).en, effect.note)


def _figure(figure: Figure) -> list[str]:
    table = figure_table(figure, most=_MOST_ROWS)
    left_out = table.positions - len(table.rows)
    thinned = f" {len(table.rows)} of {table.positions} positions are shown." if left_out else ""
    return [
        f"### Figure: {_text(figure.title)}",
        f"{_text(figure.caption)} Shown: {_text(figure.y_label)}.{thinned}",
        _table(table.header, [[*map(without_exponents, row)] for row in table.rows]),
    ]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, escaped: bool = False) -> str:
    lines = [header if escaped else [*map(_text, header)], ["---"] * len(header)]
    lines += rows if escaped else [[*map(_text, row)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _link(finding: ClaimResult) -> str:
    return f"[{_text(finding.statement.en)}](#{_attribute(finding.claim)})"


def _said(finding: ClaimResult) -> str:
    return _text(", ".join(tutorials(finding)) or "ours")


def _answer(finding: ClaimResult) -> str:
    return _text(f"{SYMBOLS[finding.verdict]} {verdict_words(finding).en}")


def _source(source: Source) -> str:
    work = _text(source.work)
    address = source.url.replace("<", "%3C").replace(">", "%3E")
    linked = f"[{work}](<{address}>)" if address.startswith(("https://", "http://")) else work
    return f"{linked}, {_text(source.section)}" if source.section else linked


def _text(text: str) -> str:
    """Text that means itself in Markdown, also within a table."""
    for mark in ("\\", "|", "<", "*", "~"):
        text = text.replace(mark, f"\\{mark}")
    # Not split() without an argument: that takes spaces that hold a picture together, too.
    return " ".join(part for part in text.replace("\n", " ").replace("\t", " ").split(" ") if part)


def _attribute(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in text)
