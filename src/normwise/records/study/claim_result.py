"""Outcome of a claim: the question, the measurements and the verdict."""

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
        protocol: Description of the runs, with their numbers.
        falsifier: Result that would have shown the claim false.
        rule: Rule by which the verdict follows from the numbers.
        dated: Day on which the rule was fixed, before its runs; ISO 8601.
        revised: Reason why the rule was revised; empty if it was not.
        sources: Papers on the claim and the protocol.
        cases: Measured cases, a network or a condition each.
        controls: Effects that must show for the verdict to mean anything; none where none is needed.
        further: Other numbers of interest, which the verdict does not rest on.
        verdict: Verdict by the rule.
        reason: Reason why the claim is undecided, or what it depends on; otherwise empty.
        takeaway: The outcome in one sentence, with its numbers.
        advice: Advice for the reader.
        figures: Figures of the claim.
        seeds: Seeds of the runs.
        runs: Number of its runs, including those that chose learning rates.
        brief: Part of the headline; None if it has none.
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
        """Return whether the claim is an identity, which holds or does not."""
        return bool(self.cases) and all(case.exact for case in self.cases)
