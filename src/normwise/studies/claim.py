"""Base of claims: a statement, the runs that test it, and the rule that turns them into a verdict."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from normwise.records import (
    Bilingual,
    Brief,
    Case,
    ClaimResult,
    Effect,
    Figure,
    Group,
    RunConfig,
    Saying,
    Source,
    Verdict,
)
from normwise.studies.arms import Runs, Search, with_seeds
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.judging.outcomes import verdict
from normwise.studies.preset import Preset
from normwise.studies.wording import spaced

#: The learning rate that a search has chosen.
Rate = Callable[[Search], float]
Plan = CasePlan | IdentityPlan

#: The rule that all claims share; each says the rest in its own.
COMMON_RULE = (
    "A case is shown where the whole 95% confidence interval over the seeds (Student's) lies above the smallest effect "
    "that matters, refuted where it lies below it, reversed where it lies below its negative, and open elsewhere. "
    "Where a budget ended too early, an effect that is at least so large is never refuted, and one that is at most so "
    "large never shown. The claim is supported where all cases show it and not supported where all refute or reverse "
    "it. It depends where one case at least shows it, corrected for the number of cases by Holm's method, and one at "
    "least refutes or reverses it. Else, or where leaving out any one seed gives another verdict, or where a control "
    "fails, it is undecided. Rules were rehearsed on seeds 0 to 19 before they were fixed, and claims are judged on "
    "others."
)


class Claim(ABC):
    """Claim about BN. A new claim is a subclass in a file in ``claims/``; nothing else changes.

    Attributes:
        number: Position in the report.
        name: Identifier; the name of its file, or the beginning of it.
        group: Part of the report.
        statement: Statement in plain words.
        says: Tutorials that make it; none where it is ours.
        falsifier: Result that would show the claim false.
        rule: Measurement of the effect of a case, and the smallest that matters; see :data:`COMMON_RULE`.
        dated: Day on which the rule was fixed, before its runs.
        revised: Reason why the rule was revised; empty if it was not.
        sources: Papers on the claim and the protocol.
        brief: Part of the report's headline; None if it has none.
        presets: Names of the presets that the claim is for.
    """

    number: ClassVar[int]
    name: ClassVar[str]
    group: ClassVar[Group]
    statement: ClassVar[Bilingual]
    says: ClassVar[tuple[Saying, ...]]
    falsifier: ClassVar[str]
    rule: ClassVar[str]
    dated: ClassVar[str]
    revised: ClassVar[str] = ""
    sources: ClassVar[tuple[Source, ...]]
    brief: ClassVar[Brief | None] = None
    presets: ClassVar[tuple[str, ...]] = ("quick", "full")

    @abstractmethod
    def protocol(self, preset: Preset) -> tuple[str, ...]:
        """Return the protocol in sentences, with its numbers."""

    def seeds(self, preset: Preset) -> tuple[int, ...]:
        """Return the seeds that it is judged on."""
        return preset.seeds

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        """Return the learning rates to choose before the runs that are judged."""
        return ()

    @abstractmethod
    def cases(self, preset: Preset, rate: Rate) -> tuple[Plan, ...]:
        """Return the cases that the verdict rests on."""

    def controls(self, preset: Preset, rate: Rate) -> tuple[Plan, ...]:
        """Return the controls that must be shown for the verdict to mean anything."""
        return ()

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        """Return configurations that figures show and the verdict does not rest on."""
        return ()

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        """Return other numbers of interest."""
        return ()

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        """Return the figures."""
        return ()

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        """Name what the effect depends on; of cases of which some show the claim and some refute it."""
        shown = [case.gloss for case in cases if case.outcome == "shown"]
        return Bilingual(
            f"it holds for {_listed([one.en for one in shown], 'and')}",
            f"对{spaced(_listed([one.zh for one in shown], '和'))}成立",
        )

    @abstractmethod
    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        """Return the outcome in one sentence, with its numbers."""

    @abstractmethod
    def advice(self, found: Verdict) -> Bilingual:
        """Return advice for the reader."""

    def runs(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        """Return the runs that the verdict needs. Claims may ask for the same ones: each is made once."""
        plans = (*self.cases(preset, rate), *self.controls(preset, rate))
        arms = [arm for plan in plans for arm in plan.arms] + list(self.beside(preset, rate))
        wanted = {config.key: config for arm in arms for config in with_seeds(arm, self.seeds(preset))}
        return tuple(wanted.values())

    def result(self, preset: Preset, runs: Runs) -> ClaimResult:
        """Return the outcome that follows from the finished runs, with all that a reader needs to judge it."""
        runs = runs.judged_on(self.seeds(preset))
        plans, controls = self.cases(preset, runs.rate), self.controls(preset, runs.rate)
        cases = tuple(plan.result(runs) for plan in plans)
        held = tuple(plan.result(runs) for plan in controls)
        found = _verdict(plans, cases, controls, runs)
        chosen_on = [config for search in self.searches(preset) for config in search.runs(preset)]
        made = len({config.key for config in (*self.runs(preset, runs.rate), *chosen_on)})
        return ClaimResult(
            claim=self.name,
            group=self.group,
            statement=self.statement,
            says=self.says,
            protocol=self.protocol(preset),
            falsifier=self.falsifier,
            rule=f"{self.rule} {COMMON_RULE}",
            dated=self.dated,
            revised=self.revised,
            sources=self.sources,
            cases=cases,
            controls=held,
            further=self.further(preset, runs),
            verdict=found,
            reason=self._reason(found, cases, held),
            takeaway=self.takeaway(found, cases),
            advice=self.advice(found),
            figures=self.figures(preset, runs),
            seeds=self.seeds(preset),
            runs=made,
            brief=self.brief,
        )

    def _reason(self, found: Verdict, cases: Sequence[Case], controls: Sequence[Case]) -> Bilingual:
        if found == "depends":
            return self.depends_on(cases)
        if found != "undecided":
            return Bilingual("", "")
        failed = [case.gloss for case in controls if case.outcome != "shown"]
        if failed:
            return Bilingual(
                f"the control failed: {_listed([one.en for one in failed], 'and')}",
                f"对照未通过：{_listed([one.zh for one in failed], '和')}",
            )
        if all(case.outcome != "open" for case in cases):
            if "shown" in (outcomes := {case.outcome for case in cases}) and len(outcomes) > 1:
                return Bilingual(
                    "a seed left out, or the correction for several cases, gives another verdict",
                    "去掉一个随机种子，或对多种情形作校正后，结论就会改变",
                )
            return Bilingual("a seed left out gives another verdict", "去掉一个随机种子，结论就会改变")
        unseen = [case.gloss for case in cases if case.outcome == "open" and case.is_bound]
        if unseen:
            return Bilingual(
                f"the budget ended before it could be told for {_listed([one.en for one in unseen], 'and')}",
                f"训练步数不足以判断：{_listed([one.zh for one in unseen], '和')}",
            )
        needed = [case.seeds_needed for case in cases if case.outcome == "open"]
        known = [seeds for seeds in needed if seeds is not None]
        if len(known) < len(needed):
            return Bilingual("needs more than 1,000 seeds", "需要 1000 个以上的随机种子")
        return Bilingual(f"needs about {max(known)} seeds", f"大约需要 {max(known)} 个随机种子")


def _verdict(plans: Sequence[Plan], cases: Sequence[Case], controls: Sequence[Plan], runs: Runs) -> Verdict:
    """Return the verdict, undecided where a control fails or one seed more or less changes it."""
    sampled = [plan for plan in plans if isinstance(plan, CasePlan)]
    if sampled and len(sampled) < len(plans):
        raise TypeError("a claim is tested by identities or by samples, not by both")
    if not all(_shows(control, runs) for control in controls):
        return "undecided"
    if sampled:
        return verdict([plan.judged(runs) for plan in sampled])
    shown = [case.outcome == "shown" for case in cases]
    if all(shown):
        return "supported"
    return "depends" if any(shown) else "not supported"


def _shows(control: Plan, runs: Runs) -> bool:
    return control.result(runs).outcome == "shown"


def _listed(parts: Sequence[str], last: str) -> str:
    if len(parts) < 2:
        return "".join(parts)
    if last == "and":
        return f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{'、'.join(parts[:-1])}{last}{spaced(parts[-1])}"


def ioffe_szegedy(section: str) -> Source:
    """Return a section of the paper that introduced batch normalization."""
    return Source(
        "Ioffe & Szegedy 2015, Batch Normalization: Accelerating Deep Network Training by Reducing "
        "Internal Covariate Shift",
        section,
        "https://arxiv.org/abs/1502.03167",
    )
