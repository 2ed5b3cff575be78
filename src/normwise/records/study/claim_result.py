"""A claim's outcome: what was asked, what was measured, what follows."""

from dataclasses import dataclass
from typing import Literal

from normwise.records.figure import Figure
from normwise.records.study.case import Case, Effect
from normwise.records.study.wording import Bilingual, Brief, Saying, Source

Verdict = Literal["supported", "not supported", "depends", "undecided"]
#: Parts of a report that claims belong to.
Group = Literal["training", "generalisation", "use", "reasons"]


@dataclass(frozen=True)
class ClaimResult:
    """A claim's outcome.

    Attributes:
        claim: Identifier, as on the command line.
        group: Part of the report.
        statement: The claim in plain words.
        says: Tutorials that make it; none where it is ours.
        protocol: What was run, with its numbers.
        falsifier: What would have shown the claim false.
        rule: How the verdict follows from the numbers.
        dated: Day on which the rule was fixed, before its runs; ISO 8601.
        revised: Why the rule is not the first one; empty where it is.
        sources: Papers on the claim and the protocol.
        cases: What was measured, a network or a condition each.
        controls: Effects that must show for the verdict to mean anything; none where none is needed.
        further: Other numbers of interest, which the verdict does not rest on.
        verdict: What the rule gives.
        reason: Why it is undecided; what it depends on; else empty.
        takeaway: The outcome in one sentence, with its numbers.
        advice: What to do about it.
        figures: What to look at.
        seeds: The seeds that were run.
        runs: How many runs it rests on, those that chose learning rates included.
        brief: Its part of the headline; None where it has none.
    """

    claim: str
    group: Group
    statement: Bilingual
    says: tuple[Saying, ...]
    protocol: tuple[str, ...]
    falsifier: str
    rule: str
    dated: str
    revised: str
    sources: tuple[Source, ...]
    cases: tuple[Case, ...]
    controls: tuple[Case, ...]
    further: tuple[Effect, ...]
    verdict: Verdict
    reason: Bilingual
    takeaway: Bilingual
    advice: Bilingual
    figures: tuple[Figure, ...]
    seeds: tuple[int, ...]
    runs: int
    brief: Brief | None = None

    @property
    def exact(self) -> bool:
        """Tell whether it is an identity, which holds or does not."""
        return bool(self.cases) and all(case.exact for case in self.cases)
