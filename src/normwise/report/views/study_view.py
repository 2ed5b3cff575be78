"""What every form of a study's report says about the study as a whole."""

import math
from collections import Counter
from datetime import datetime, timezone

from normwise.records import Environment, Study, Verdict
from normwise.report.numbers import count, duration

STUDY_TITLE = "Batch normalization: claims and evidence"

# A verdict is read by its word; the symbol lets the eye find it, with or without colour.
SYMBOLS: dict[Verdict, str] = {"supported": "✓", "not supported": "✗", "depends": "~"}


def badge(verdict: Verdict) -> str:
    """The verdict with its symbol: ``✓ supported``."""
    return f"{SYMBOLS[verdict]} {verdict}"


def study_summary(study: Study) -> str:
    """One sentence: what was run, on what, when."""
    return (
        f"{count(study.runs, 'training run')} on {study.data} (preset {study.preset}), "
        f"finished {day(study.date)}, put {count(len(study.findings), 'claim')} to the test: {tally(study)}."
    )


def tally(study: Study) -> str:
    """How many findings have which verdict: ``2 supported, 1 depends``."""
    verdicts = Counter(finding.verdict for finding in study.findings)
    return ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in SYMBOLS if verdicts[verdict]) or "none"


def day(date: str) -> str:
    """An ISO 8601 date for a reader: ``2025-03-01 12:30 UTC``; what cannot be read stays as it is."""
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
    """The study as names and values."""
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
    """The machine and the versions as names and values."""
    return (
        ("Processor", f"{environment.processor} ({count(environment.cores, 'core')})"),
        ("System", environment.system),
        ("Python", environment.python),
        ("torch", environment.torch),
        ("numpy", environment.numpy),
        ("normwise", environment.normwise),
    )


def common_protocol(study: Study) -> tuple[str, ...]:
    """The lines of protocol that all of several findings share."""
    if len(study.findings) < 2:
        return ()
    first, *others = (finding.protocol for finding in study.findings)
    return tuple(line for line in first if all(line in other for other in others))


def own_protocols(study: Study) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each claim's name with the lines of its protocol that are not common to all."""
    common = common_protocol(study)
    lines = {
        finding.claim: tuple(line for line in finding.protocol if line not in common)
        for finding in study.findings
    }
    return tuple((claim, own) for claim, own in lines.items() if own)
