"""Remedies for small batches."""

from collections.abc import Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.use.batches import batch_runs
from normwise.studies.claims.use.batches.batch_runs import LARGE, SMALLEST, TUNED, at_rate
from normwise.studies.judging.run_queries import final_accuracy
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import BATCH, DIVERGED
from normwise.studies.networks import seeds_sentence, tuned
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_SMALL = 2
#: Learning rates of accumulated gradients to choose from.
_RATES = (0.03, 0.1, 0.3, 1.0)
_GLOSSES = {
    "renorm": Bilingual("batch renormalization", "Batch Renormalization"),
    "group": Bilingual("GroupNorm", "GroupNorm"),
    "synchronised": Bilingual("BN synchronised over two processes", "两个进程同步的 BN"),
    "accumulated": Bilingual("gradients accumulated to 32 samples", "梯度累积到 32 个样本"),
}


class SmallBatchRemedies(Claim):
    """Gain of each remedy over BN at batch 2."""

    number = 366
    name = "small_batch_remedies"
    group = "use"
    statement = Bilingual(
        "Renormalization, GroupNorm, synchronisation and accumulated gradients win back some of what batches of 2 "
        "cost BN.",
        "批量为 2 时，Batch Renormalization、GroupNorm、同步 BN 和梯度累积能挽回 BN 的部分损失。",
    )
    says = ()
    falsifier = (
        f"At batch {_SMALL} each remedy is less than {SMALLEST:g} point better than BN. Some remedies: it depends on "
        "which."
    )
    rule = (
        f"The effect is a remedy's lead over BN with {_SMALL} samples in one process at once, in percentage points of "
        f"test accuracy. The smallest that matters is {SMALLEST:g} point. As a control, batch {_SMALL} must cost BN "
        f"more than {SMALLEST:g} point against batch {LARGE}: else there is nothing to win back."
    )
    dated = "2026-11-27"
    revised = "The first rule looked at several networks, and tuned no rate for GroupNorm."
    sources = (
        Source(
            "Wu & He 2018, Group Normalization",
            "§4.1, figure 1 and table 2: from batch 32 to 2 BN's error grows by 10 points and more, GroupNorm's stays",
            "https://arxiv.org/abs/1803.08494",
        ),
        Source(
            "Ioffe 2017, Batch Renormalization",
            "§4.2: with statistics of 4 samples, renormalization wins back a part of what BN loses",
            "https://arxiv.org/abs/1702.03275",
        ),
        Source(
            "Hoffer, Hubara & Soudry 2017, Train longer, generalize better",
            "§4: ghost batch normalization",
            "https://arxiv.org/abs/1705.08741",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        network = _network(preset)
        return (
            f"{network.gloss.en}, in which a statistic has one value a sample; "
            f"{batch_runs.samples(preset):,} samples a run, plain SGD. "
            f"{batch_runs.rate_sentence(preset, _tuned_at(preset))} The control's batch of {LARGE} has the rate that "
            f"is chosen at {TUNED}. Renormalization and synchronisation have BN's; accumulation has the best of "
            f"{', '.join(f'{rate:g}' for rate in _RATES)}. {DIVERGED}",
            f"One process holds {_SMALL} samples at once. BN, renormalization and GroupNorm make a step of them. "
            "Synchronised over two processes, a step has twice as many samples, and so have the statistics; it is run "
            "in one process, which is the same to rounding, as a test with two real ones shows. Accumulated, a step "
            f"has {LARGE} samples, each part of them normalised by its own statistics: that is ghost batch "
            "normalization in such parts, which is what is run, and the same to rounding, as a test shows.",
            "Renormalization is plain BN for the first eighth of a run's steps; its limits grow to r = 3 and d = 5 at "
            "the half. The paper has 5,000, 40,000 and 25,000 steps, more than these runs have.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        network = _network(preset)
        wanted = (
            *(batch_runs.search(preset, network, norm, _tuned_at(preset)) for norm in ("batch", "group")),
            # Of the control; in quick the same again.
            batch_runs.search(preset, network, "batch"),
            _accumulated(preset),
        )
        return tuple({search.key: search for search in wanted}.values())

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        network = _network(preset)
        return tuple(
            CasePlan(
                remedy,
                gloss,
                network.family,
                (_remedied(preset, remedy, rate), _at_rate(preset, "batch", _SMALL, rate)),
                value=_lead,
                effect=f"lead over BN at batch {_SMALL}",
                unit="percentage points",
                smallest=SMALLEST,
            )
            for remedy, gloss in _GLOSSES.items()
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        network = _network(preset)
        return (
            CasePlan(
                "cost",
                Bilingual(f"batch {_SMALL} costs BN accuracy", f"批量为 {_SMALL} 时 BN 确有损失"),
                network.family,
                (at_rate(preset, network, "batch", LARGE, rate), _at_rate(preset, "batch", _SMALL, rate)),
                value=_lead,
                effect=f"accuracy of BN at batch {LARGE} less that at batch {_SMALL}",
                unit="percentage points",
                smallest=SMALLEST,
            ),
        )

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        helped = [case.gloss for case in cases if case.outcome == "shown"]
        failed = [case.gloss for case in cases if case.outcome in ("refuted", "reversed")]
        return Bilingual(
            f"the remedy: {' and '.join(one.en for one in helped)} helped, "
            f"{' and '.join(one.en for one in failed)} did not",
            f"取决于方法：{'、'.join(one.zh for one in helped)}有效，{'、'.join(one.zh for one in failed)}无效",
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        network = _network(preset)
        arms = {
            f"BN, batch {LARGE}": at_rate(preset, network, "batch", LARGE, runs.rate),
            f"BN, batch {_SMALL}": _at_rate(preset, "batch", _SMALL, runs.rate),
            **{gloss.en: _remedied(preset, remedy, runs.rate) for remedy, gloss in _GLOSSES.items()},
        }
        return (
            Figure(
                name="remedies",
                title=f"Test accuracy after the same number of samples, {_SMALL} of them in one process at once",
                caption=f"Mean over seeds, with the lowest and the highest. {DIVERGED}",
                x_label="norm",
                y_label="test accuracy",
                y_percent=True,
                lines=False,
                series=(
                    spread_series(
                        network.gloss.en,
                        tuple(arms),
                        [runs.of(config) for config in arms.values()],
                        final_accuracy,
                        BATCH,
                    ),
                ),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"Lead over BN at batch {_SMALL}: {each.en}.", f"批量为 {_SMALL} 时比 BN 高出：{each.zh}。"
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "not supported":
            return Bilingual("Make the batch larger instead.", "直接增大批量更有效。")
        return Bilingual(
            "Where memory allows no larger batch, take a remedy that is shown above; accumulating gradients costs no "
            "memory but leaves the statistics as small as they are.",
            "显存不允许更大的批量时，选用上面有效的方法；梯度累积不占额外显存，但统计量仍只来自小批量。",
        )


def _network(preset: Preset) -> Network:
    return preset.networks["dense_bn"]


def _remedied(preset: Preset, remedy: str, rate: Rate) -> RunConfig:
    """Return the run of a remedy, with so few samples in one process at once."""
    if remedy == "synchronised":
        return _at_rate(preset, "batch", 2 * _SMALL, rate)
    if remedy == "accumulated":
        search = _accumulated(preset)
        return replace(search.arm, lr=rate(search))
    if remedy == "renorm":
        steps = batch_runs.samples(preset) // _SMALL
        return _at_rate(preset, f"renorm:{steps}", _SMALL, rate, tuned_as="batch")
    return _at_rate(preset, remedy, _SMALL, rate)


def _at_rate(preset: Preset, norm: str, size: int, rate: Rate, *, tuned_as: str = "") -> RunConfig:
    return at_rate(preset, _network(preset), norm, size, rate, tuned_as=tuned_as, tuned_at=_tuned_at(preset))


def _tuned_at(preset: Preset) -> int:
    """Return the size at which rates are chosen: in full the small one itself, as accumulation has its own, too."""
    return preset.pick(quick=TUNED, full=_SMALL)


def _accumulated(preset: Preset) -> Search:
    """Return the choice of the learning rate where gradients are accumulated."""
    return tuned(preset, batch_runs.config(preset, _network(preset), f"ghost:{_SMALL}", LARGE), _RATES)


def _lead(better: Run, worse: Run) -> float:
    return 100 * (final_accuracy(better) - final_accuracy(worse))
