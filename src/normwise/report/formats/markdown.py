"""A study as Markdown: what ``docs/evidence.md`` is made of."""

from collections.abc import Iterable, Sequence

from normwise.records import ClaimResult, Figure, Source, Study
from normwise.report.figures.tables import figure_table
from normwise.report.numbers import count, effect_text, estimate, interval, levels
from normwise.report.views.study_view import (
    STUDY_TITLE,
    badge,
    common_protocol,
    environment_rows,
    study_rows,
    study_summary,
)

_MOST_ROWS = 12


def study_markdown(study: Study) -> str:
    """The whole study; curves are thinned to a dozen rows, and it says where."""
    blocks = [
        f"# {STUDY_TITLE}",
        _text(study_summary(study)),
        _table(("", ""), [*study_rows(study), *environment_rows(study.environment)]),
        "## Verdicts",
        _table(
            ("Claim", "Verdict", "Main effect", "Finding"),
            ((_link(f), badge(f.verdict), _main_effect(f), _text(f.sentence)) for f in study.findings),
            escaped=True,
        ),
    ]
    effects = [effect for finding in study.findings for effect in finding.effects]
    if effects:
        blocks.append(f"In brackets: {levels(effects)} confidence interval over seeds.")
    common = common_protocol(study)
    if common:
        blocks += ["## Common to all claims", _list(map(_text, common))]
    for finding in study.findings:
        blocks += _finding(finding)
    return "\n\n".join(blocks) + "\n"


def _finding(finding: ClaimResult) -> list[str]:
    seeds = f"{'seed' if len(finding.seeds) == 1 else 'seeds'} {', '.join(map(str, finding.seeds))}"
    blocks = [
        # An anchor of our own: how a heading is turned into one differs between hosts.
        f'<a id="{_attribute(finding.claim)}"></a>\n\n## {_text(finding.statement)}',
        f"**{badge(finding.verdict)}** (`{finding.claim}`). {_text(finding.sentence)}",
        _table(
            ("Effect", "Estimate", f"{levels(finding.effects)} interval".strip(), "Seeds", "Note"),
            ((e.name, estimate(e), interval(e), str(e.seeds), e.note) for e in finding.effects),
        ),
        "### Protocol",
        _list(map(_text, finding.protocol)),
        f"It rests on {count(finding.runs, 'run')}, {seeds}.",
        f"**What would have shown it false.** {_text(finding.falsifier)}",
        f"**Rule.** {_text(finding.rule)}",
    ]
    if finding.sources:
        blocks += ["### Sources", _list(map(_source, finding.sources))]
    for figure in finding.figures:
        blocks += _figure(figure)
    return blocks


def _figure(figure: Figure) -> list[str]:
    table = figure_table(figure, most=_MOST_ROWS)
    left_out = table.positions - len(table.rows)
    thinned = f" {len(table.rows)} of {table.positions} positions are shown." if left_out else ""
    return [
        f"### Figure: {_text(figure.title)}",
        f"{_text(figure.caption)} Shown: {_text(figure.y_label)}.{thinned}",
        _table(table.header, table.rows),
    ]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, escaped: bool = False) -> str:
    lines = [header if escaped else [*map(_text, header)], ["---"] * len(header)]
    lines += rows if escaped else [[*map(_text, row)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _link(finding: ClaimResult) -> str:
    return f"[{_text(finding.statement)}](#{_attribute(finding.claim)})"


def _main_effect(finding: ClaimResult) -> str:
    return _text(effect_text(finding.effects[0])) if finding.effects else ""


def _source(source: Source) -> str:
    work = _text(source.work)
    address = source.url.replace("<", "%3C").replace(">", "%3E")
    linked = f"[{work}](<{address}>)" if address.startswith(("https://", "http://")) else work
    return f"{linked}, {_text(source.section)}" if source.section else linked


def _text(text: str) -> str:
    """Text that means itself in Markdown, also within a table."""
    for mark in ("\\", "|", "<", "*"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _attribute(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in text)
