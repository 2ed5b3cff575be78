"""Content of a study's reports about the study as a whole."""

import math
from datetime import datetime, timezone

from normwise.records import Bilingual, Environment, Study
from normwise.report.numbers import count, duration

STUDY_TITLE = "Batch normalization: claims and evidence"


def study_line(study: Study) -> Bilingual:
    """Return what was run, on what and when, and when the rules were fixed, in a few sentences."""
    seeds = sorted({len(finding.seeds) for finding in study.findings})
    cases = sum(not case.exact for one in study.findings for case in (*one.cases, *one.controls))
    how_many = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))) if seeds else "no"
    zh_seeds = " 至 ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))) if seeds else "0 "
    rules = _rules(study)
    return Bilingual(
        f"{count(len(study.findings), 'claim')} tested on {study.data} (preset {study.preset}), {day(study.date)}: "
        f"{study.runs:,} training runs, {how_many} seeds a case, {cases} cases with 95% intervals. {rules.en}",
        f"在 {study.data} 上检验 {len(study.findings)} 条说法（预设 {study.preset}），{day(study.date)}："
        f"共 {study.runs:,} 次训练，每种情形 {zh_seeds} 个随机种子，{cases} 种情形，95% 置信区间。{rules.zh}",
    )


def _rules(study: Study) -> Bilingual:
    days = sorted({finding.dated for finding in study.findings})
    if not days:
        return Bilingual("", "")
    revised = sum(bool(finding.revised) for finding in study.findings)
    more = f"; {revised} of them revised then, and why is said" if revised else ""
    zh_more = f"；其中 {revised} 条当时作过修订，理由已注明" if revised else ""
    return Bilingual(
        f"Rules fixed before the runs, on {' and '.join(days)}{more}.",
        f"判定规则在训练之前于 {'、'.join(days)} 确定{zh_more}。",
    )


def day(date: str) -> str:
    """Return an ISO 8601 date for a reader, ``2025-03-01 12:30 UTC``; an invalid date is returned unchanged."""
    try:
        # datetime.fromisoformat learnt the "Z" in Python 3.11.
        moment = datetime.fromisoformat(date.replace("Z", "+00:00"))
    except ValueError:
        return date
    if len(date) <= len("2025-03-01"):
        return date
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def study_rows(study: Study) -> tuple[tuple[str, str], ...]:
    """Return the study as names and values."""
    seeds = sorted({seed for finding in study.findings for seed in finding.seeds})
    clock = f"{duration(study.wall_seconds)} by the clock, without the runs that were finished before"
    took = () if math.isnan(study.wall_seconds) else (("Took", clock),)
    return (
        ("Preset", study.preset),
        ("Data", study.data),
        ("Runs", f"{study.runs}, {duration(study.cpu_seconds)} of computing on one thread each"),
        ("Seeds", ", ".join(map(str, seeds)) or "none"),
        ("Finished", day(study.date)),
        *took,
    )


def environment_rows(environment: Environment) -> tuple[tuple[str, str], ...]:
    """Return the machine and the versions as names and values."""
    return (
        ("Processor", f"{environment.processor} ({count(environment.cores, 'core')})"),
        ("System", environment.system),
        ("Python", environment.python),
        ("torch", environment.torch),
        ("numpy", environment.numpy),
        ("normwise", environment.normwise),
    )
