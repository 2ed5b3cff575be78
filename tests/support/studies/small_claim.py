"""A claim of few short runs, for tests of how a study is made."""

from collections.abc import Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Run, RunConfig, Verdict
from normwise.studies import Claim, Preset
from normwise.studies.arms import Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Rate

_WORDS = Bilingual("text", "文字")


class SmallClaim(Claim):
    """A run of a few steps for each seed; supported where all of them ended."""

    number, name, group = 1, "small", "use"
    statement, says, falsifier, rule, dated, sources = _WORDS, (), "f", "r", "2026-11-27", ()
    arms = (RunConfig("dense_bn", "digits", "batch", 5, 20, 0.1, 0, 5, train_samples=100, test_samples=50),)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return ("p",)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return (
            CasePlan("digits", _WORDS, "dense", self.arms, _ended, "share of ended runs", "", smallest=0.5),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return _WORDS

    def advice(self, found: Verdict) -> Bilingual:
        return _WORDS


class SearchingClaim(SmallClaim):
    """The same at a learning rate that is chosen before: one with which nothing moves, or one with which it does."""

    number, name = 2, "searching"
    search = Search(replace(SmallClaim.arms[0], steps=50), (1e-9, 0.1))

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return (self.search,)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            replace(plan, arms=(replace(self.search.arm, lr=rate(self.search)),))
            for plan in super().cases(preset, rate)
        )


def _ended(*runs: Run) -> float:
    return sum(run.result is not None for run in runs) / len(runs)
