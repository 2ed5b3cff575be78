"""What a claim is: a statement, the runs that test it, and the rule that turns them into a verdict."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from normwise.records import ClaimResult, Effect, Figure, Run, RunConfig, Source, Verdict
from normwise.studies.preset import Preset


@dataclass(frozen=True)
class Judgement:
    """What a claim's rule made of its runs."""

    verdict: Verdict
    sentence: str
    effects: tuple[Effect, ...]
    figures: tuple[Figure, ...]


class Claim(ABC):
    """A claim about BN. A new one is a file in ``claims/`` with a subclass; nothing else changes.

    Attributes:
        number: Place in the report.
        name: Identifier; the name of its file.
        statement: As tutorials have it.
        falsifier: What would show it false.
        rule: How :meth:`judge` comes to its verdict, in words; fixed before anything is measured.
        sources: Of the claim and the protocol.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    statement: ClassVar[str]
    falsifier: ClassVar[str]
    rule: ClassVar[str]
    sources: ClassVar[tuple[Source, ...]]

    @abstractmethod
    def protocol(self, preset: Preset) -> tuple[str, ...]:
        """What is run, in sentences, with its numbers."""

    @abstractmethod
    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        """The runs that the verdict needs. Claims may ask for the same ones: each is made once."""

    @abstractmethod
    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        """The outcome that follows from the finished runs, by the rule and from nothing else."""

    def result(self, preset: Preset, runs: Sequence[Run]) -> ClaimResult:
        """The outcome with all that a reader needs to judge it."""
        judgement = self.judge(preset, runs)
        return ClaimResult(
            claim=self.name,
            statement=self.statement,
            protocol=self.protocol(preset),
            falsifier=self.falsifier,
            rule=self.rule,
            sources=self.sources,
            effects=judgement.effects,
            verdict=judgement.verdict,
            sentence=judgement.sentence,
            figures=judgement.figures,
            seeds=preset.seeds,
            runs=len(runs),
        )


def all_or_some(shown: Sequence[bool]) -> Verdict:
    """The verdict where a claim is tested on several networks: on all, on none, or it depends."""
    if all(shown):
        return "supported"
    return "depends" if any(shown) else "not supported"


def ioffe_szegedy(section: str) -> Source:
    """Return a section of the paper that introduced batch normalization."""
    return Source(
        "Ioffe & Szegedy 2015, Batch Normalization: Accelerating Deep Network Training by Reducing "
        "Internal Covariate Shift",
        section,
        "https://arxiv.org/abs/1502.03167",
    )
