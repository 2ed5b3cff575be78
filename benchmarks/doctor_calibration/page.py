"""The page ``docs/doctor/calibration.md``."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.doctor_calibration.healthy import LEAST_ACCURACY, MOST_GAIN, Health
from benchmarks.doctor_calibration.outcome import Outcome
from benchmarks.doctor_calibration.thresholds import thresholds
from normwise.doctor import all_rules
from normwise.records import Environment

COMMAND = "make doctor-calibration"

_INTRODUCTION = """# Calibration of the doctor

Made by `{command}` with torch {torch}.

**Healthy models.** {healthy} trained models: dense nets, CNNs, small ResNets and LSTMs on {data}, of different seeds,
batch sizes, lengths of training, momentum, optimisers, with BN before and after the activation, with torch's layers and
ours. Healthy means, without the doctor: an accuracy of {least:.0%} or more on test samples, and no more than {gain:.0%}
more with batch statistics in place of the running ones. Each visits the doctor three or four times: the model alone; in
evaluation with test samples; in training mode with its loader, loss and optimiser; and, with batches of 16 or more, as
two processes train it, each with local statistics of its half of the data. A finding above "info" is a false alarm.

**Plants.** {plants} sick models: copies of the healthy ones with one fault each, {faults} faults in all, given to the
doctor as a user would. The fault is found if its rule is among the findings, and is a hit if that is the first of them,
which are ordered by severity and code. The faults are planted on purpose and are clear; this says nothing about faint
ones. BN704 is of ONNX files, and has no plants. Thresholds, and some plants that had two faults, were corrected
after looking at these very models: "Fresh seeds" below says how the same thresholds do on other models."""


@dataclass
class Round:
    """All that was examined of one set of recipes.

    Attributes:
        health: Accuracies of the healthy models.
        healthy: Outcomes of the healthy models.
        sick: Outcomes of the plants.
        left_out: Models that turned out not to be healthy by the criterion, which are not examined.
    """

    health: list[Health] = field(default_factory=list)
    healthy: list[Outcome] = field(default_factory=list)
    sick: list[Outcome] = field(default_factory=list)
    left_out: list[Health] = field(default_factory=list)


def page(known: Round, fresh: Round) -> str:
    """Return the page.

    Args:
        known: The models that thresholds were chosen by.
        fresh: The same recipes and faults with other seeds.
    """
    health, healthy, sick = known.health, known.healthy, known.sick
    names = {one.model for one in healthy}
    data = " and ".join(sorted({"MNIST" if "mnist" in name else "digits" for name in names}, reverse=True))
    parts = [
        _INTRODUCTION.format(
            command=COMMAND,
            torch=Environment.here().torch,
            healthy=len(health),
            data=data,
            least=LEAST_ACCURACY,
            gain=MOST_GAIN,
            plants=len(sick),
            faults=len({(one.expected, one.visit) for one in sick}),
        ),
        _summary(known),
        "## Fresh seeds\n\n" + _fresh(fresh),
        "## By rule\n\n" + _rules(healthy, sick),
        "## False alarms\n\n" + _alarms(healthy),
        "## Plants that are no hit\n\n" + _misses(sick),
        "## Codes that came first instead\n\n" + _confusion(sick),
        "## Thresholds in force\n\n" + _thresholds(),
        "## Healthy models\n\n" + _health(health, healthy),
    ]
    return "\n\n".join(parts) + "\n"


def _fresh(fresh: Round) -> str:
    """Return the figures of models with other seeds, with every alarm and every miss."""
    left = ", ".join(one.model for one in fresh.left_out)
    text = (
        f"The same recipes and faults with seeds that were never used before, examined once with the thresholds below, "
        f"which were not changed afterwards: {len(fresh.health)} healthy models. {summary(fresh)}"
    )
    if left:
        text += f" Left out, as not healthy by the criterion above: {left}."
    parts = [textwrap.fill(text, 120, break_on_hyphens=False)]
    parts += ["False alarms:", _alarms(fresh.healthy), "Plants that are no hit:", _misses(fresh.sick)]
    return "\n\n".join(parts)


def summary(found: Round) -> str:
    """Return the figures in one line."""
    healthy, sick = found.healthy, found.sick
    alarms = sum(bool(one.alarms) for one in healthy)
    hits, there = sum(one.is_hit for one in sick), sum(one.expected in one.codes for one in sick)
    share = f"{hits / len(sick):.1%}" if sick else "none"
    return (
        f"{alarms} of {len(healthy)} visits of healthy models have a finding above info; {hits} of {len(sick)} plants "
        f"({share}) have the right code first, {there} have it at all."
    )


def _summary(known: Round) -> str:
    health, healthy, sick = known.health, known.healthy, known.sick
    lowest = min(one.running for one in health)
    mean = sum(one.running for one in health) / len(health)
    seconds = sorted(one.seconds for one in (*healthy, *sick))
    text = (
        f"{summary(known)} Accuracies of the healthy models are {lowest:.1%} to "
        f"{max(one.running for one in health):.1%}, {mean:.1%} on average. Half of the diagnoses took less than "
        f"{seconds[len(seconds) // 2]:.2f} s, the longest {seconds[-1]:.1f} s, with one thread each."
    )
    return "## Result\n\n" + textwrap.fill(text, 120, break_on_hyphens=False)


def _rules(healthy: Sequence[Outcome], sick: Sequence[Outcome]) -> str:
    rows = []
    for rule in all_rules():
        plants = [one for one in sick if one.expected == rule.code]
        hits, found = sum(one.is_hit for one in plants), sum(rule.code in one.codes for one in plants)
        alarms = sum(rule.code in one.alarms for one in healthy)
        infos = sum(rule.code in one.codes for one in healthy) - alarms
        counts = (len(plants), found, hits) if plants else ("–", "–", "–")
        rows.append((rule.code, rule.name, rule.severity, alarms, infos, *counts))
    return table(
        ("code", "rule", "severity", "false alarms", "notes on healthy ones", "plants", "found", "hits"), rows
    )


def _alarms(healthy: Sequence[Outcome]) -> str:
    rows = [
        (one.model, one.visit, "; ".join(w for w in one.words if not w.startswith("info")) or one.error)
        for one in healthy
        if one.alarms or one.error
    ]
    return table(("model", "visit", "finding"), rows) if rows else "None."


def _misses(sick: Sequence[Outcome]) -> str:
    rows = [
        (one.expected, one.visit, one.model, one.error or ", ".join(one.codes) or "nothing")
        for one in sick
        if not one.is_hit
    ]
    return table(("code", "fault", "model", "findings, in their order"), rows) if rows else "None."


def _confusion(sick: Sequence[Outcome]) -> str:
    pairs = Counter((one.expected, one.first or "nothing") for one in sick if not one.is_hit)
    rows = [(*pair, count) for pair, count in sorted(pairs.items())]
    return table(("planted", "first", "times"), rows) if rows else "None."


def _thresholds() -> str:
    rows = [(one.file, one.name, one.value, one.meaning) for one in thresholds()]
    return table(("file", "name", "value", "meaning"), rows)


def _health(health: Sequence[Health], healthy: Sequence[Outcome]) -> str:
    notes: dict[str, set[str]] = {one.model: set() for one in health}
    for one in healthy:
        notes[one.model].update(one.codes)
    rows = [
        (one.model, f"{one.running:.1%}", f"{one.batch:.1%}", ", ".join(sorted(notes[one.model])) or "–")
        for one in health
    ]
    return table(("model", "accuracy", "with batch statistics", "notes"), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)
