"""What a study found: a claim, its protocol, its numbers, its verdict."""

import math
from dataclasses import dataclass
from typing import Literal

from normwise.records.environment import Environment
from normwise.records.figure import Figure

Verdict = Literal["supported", "not supported", "depends"]


@dataclass(frozen=True)
class Source:
    """Where a claim, a protocol or a definition comes from: a work, and the section in it."""

    work: str
    section: str
    url: str


@dataclass(frozen=True)
class Effect:
    """A number with its confidence interval over seeds.

    Attributes:
        name: What was measured.
        unit: Such as "times", "percentage points" or "decades"; empty for a plain number.
        estimate, low, high: The estimate and the ends of the interval. An end may be NaN where one seed
            alone was measured.
        level: Confidence of the interval.
        seeds: How many seeds it rests on.
        note: What a reader must know to read it, such as a value that the budget cut off; else empty.
    """

    name: str
    unit: str
    estimate: float
    low: float
    high: float
    level: float
    seeds: int
    note: str = ""


@dataclass(frozen=True)
class ClaimResult:
    """A claim's outcome.

    Attributes:
        claim: Identifier, as on the command line.
        statement: The claim as tutorials state it.
        protocol: What was run, with its numbers.
        falsifier: What would have shown the claim false.
        rule: How the verdict follows from the numbers, fixed before they were measured.
        sources: Where the claim and the protocol come from.
        effects: The numbers; the first is the one to quote.
        verdict: What the rule gives.
        sentence: The verdict in words, with the numbers in it.
        figures: What to look at.
        seeds: The seeds that were run.
        runs: How many runs it rests on.
    """

    claim: str
    statement: str
    protocol: tuple[str, ...]
    falsifier: str
    rule: str
    sources: tuple[Source, ...]
    effects: tuple[Effect, ...]
    verdict: Verdict
    sentence: str
    figures: tuple[Figure, ...]
    seeds: tuple[int, ...]
    runs: int


@dataclass(frozen=True)
class Study:
    """All findings of one study.

    Attributes:
        preset: "quick" or "full".
        data: Name of the data set.
        date: When it was finished, ISO 8601, UTC.
        runs: How many different runs all findings rest on.
        cpu_seconds: What these runs took, added up, on one thread each.
        environment: The machine and versions.
        findings: In the order of the claims.
        wall_seconds: What the study took when it was last given, finished runs taken as they were; NaN in studies
            of before this was kept.
    """

    preset: str
    data: str
    date: str
    runs: int
    cpu_seconds: float
    environment: Environment
    findings: tuple[ClaimResult, ...]
    wall_seconds: float = math.nan
