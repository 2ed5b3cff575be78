"""Small batches."""

from collections.abc import Sequence

from normwise.records import Bilingual, Brief, Case, Effect, Figure, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.use.batches import batch_runs
from normwise.studies.claims.use.batches.batch_runs import LARGE, SMALLEST, at_rate, own_difference
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.run_queries import final_accuracy
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import BATCH, DIVERGED, GROUP
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_TINY, _BELOW = 2, 16
_REVISED = (
    "The first rule compared batches of 2 and 32 alone, tuned no rate for GroupNorm, and asked for its lead and for "
    "exact statistics on every network besides."
)
_RULE = (
    f"The effect is what the small batch costs BN: its test accuracy at batch {LARGE} less that at the small batch, "
    "after as many samples, in percentage points. In dense layers what it costs GroupNorm is taken off, if it does: "
    f"then it is the small batch as such. The smallest that matters is {SMALLEST:g} point."
)
_SOURCES = (
    Source(
        "Wu & He 2018, Group Normalization",
        "§1, figure 1 and §4.1: 10.6 points lower error than BN at batch 2",
        "https://arxiv.org/abs/1803.08494",
    ),
    Source(
        "Ioffe 2017, Batch Renormalization",
        "§1: small or non-independent batches",
        "https://arxiv.org/abs/1702.03275",
    ),
)


class _AboutSmallBatches(Claim):
    """The runs that claims about small batches share."""

    group = "use"
    rule = _RULE
    dated = "2026-11-27"
    revised = _REVISED
    sources = _SOURCES
    presets = ("quick", "full", "gpu")

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Plain SGD; {batch_runs.samples(preset):,} samples a run, whatever the batch. "
            f"{batch_runs.rate_sentence(preset)} {DIVERGED}",
            "BN computes a mean and a variance from as many values as the batch has samples in a dense layer, and "
            "times the positions of the image in a convolution: that is the axis of the figure. GroupNorm has at least "
            "four channels to a group and at most 32 groups.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            batch_runs.search(preset, network, norm)
            for network in batch_runs.networks(preset)
            for norm in batch_runs.norms(network)
        )


class SmallBatches(_AboutSmallBatches):
    """Cost of batches of 2."""

    number = 363
    name = "small_batches"
    brief = Brief(
        "cost",
        Bilingual("accuracy in batches of 2", "批量为 2 时的准确率"),
        Bilingual("Use larger batches, or GroupNorm", "用更大的批量，或用 GroupNorm"),
    )
    statement = Bilingual(
        "Very small batches (2 samples) spoil BN.", "批量非常小（2 个样本）时 BN 效果变差。"
    )
    says = (
        Saying("000", "四、BN的注意事项: 1"),
        Saying("003", "批标准化的优缺点: 缺点, 3"),
        Saying("004", "4. 何时不使用 BatchNorm"),
    )
    falsifier = (
        f"Batches of {_TINY} instead of {LARGE} cost BN less than {SMALLEST:g} point, or no more than GroupNorm: on "
        "every network. On some: it depends."
    )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(_case(preset, network, _TINY, rate) for network in batch_runs.networks(preset))

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(
            at_rate(preset, network, norm, size, rate)
            for network in batch_runs.networks(preset)
            for norm in batch_runs.norms(network)
            for size in batch_runs.sizes(preset, network)
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        effects: list[Effect] = []
        for network in batch_runs.networks(preset):
            for size in batch_runs.sizes(preset, network):
                plan = _case(preset, network, size, runs.rate)
                effects.append(mean_effect(f"{plan.name}: {plan.effect}", plan.unit, plan.values(runs)))
        return tuple(effects)

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(_figure(preset, network, runs) for network in batch_runs.networks(preset))

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        return _by_network_and_batch(cases)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"What small batches cost BN: {each.en}.",
            f"小批量使 BN 损失的准确率：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found in ("supported", "depends"):
            return Bilingual(
                "Count values per statistic, not images: samples times positions. Where there are only two, use "
                "GroupNorm or synchronised BN.",
                "看每个统计量有多少个值（样本数 × 空间位置数），而不是看图像张数。只有两个时，"
                "改用 GroupNorm 或同步 BN。",
            )
        if found == "not supported":
            return Bilingual("Don't drop BN for a small batch.", "不要因为批量小就放弃 BN。")
        return Bilingual(
            "Compare BN with GroupNorm on your own network before you train with batches of 2.",
            "批量只有 2 时，先在自己的网络上比较 BN 和 GroupNorm。",
        )


class SmallBatchesBelow16(_AboutSmallBatches):
    """Cost of batches below 16."""

    number = 364
    name = "small_batches_below_16"
    statement = Bilingual("Batches below 16 are too small for BN.", "批量小于 16 对 BN 来说太小。")
    says = (Saying("004", "4. 何时不使用 BatchNorm (“小于 16”)"),)
    falsifier = (
        f"Batches of 2, 4 and 8 instead of {LARGE} cost BN less than {SMALLEST:g} point: "
        "each of them. Some of them: it depends."
    )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            _case(preset, network, size, rate)
            for network in batch_runs.networks(preset)
            for size in batch_runs.sizes(preset, network)
            if size < _BELOW
        )

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        return _by_network_and_batch(cases)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"What a batch below 16 costs BN: {each.en}.",
            f"批量小于 16 使 BN 损失的准确率：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Use batches of 16 or more with BN.", "使用 BN 时批量至少取 16。")
        if found == "not supported":
            return Bilingual("Don't drop BN for a batch of 8.", "不要因为批量是 8 就放弃 BN。")
        return Bilingual(
            "With a batch below 16, compare BN with GroupNorm on your own network.",
            "批量小于 16 时，在自己的网络上比较 BN 和 GroupNorm。",
        )


def _case(preset: Preset, network: Network, size: int, rate: Rate) -> CasePlan:
    return CasePlan(
        f"{network.name}, batch {size}",
        batch_runs.gloss(preset, network, size),
        network.family,
        tuple(
            at_rate(preset, network, norm, batch, rate)
            for norm in batch_runs.norms(network)
            for batch in (LARGE, size)
        ),
        value=own_difference,
        effect=f"what the batch costs BN against batch {LARGE}",
        unit="percentage points",
        smallest=SMALLEST,
    )


def _by_network_and_batch(cases: Sequence[Case]) -> Bilingual:
    shown = [case.gloss for case in cases if case.outcome == "shown"]
    return Bilingual(
        "the network and the batch; it costs something with " + " and ".join(one.en for one in shown),
        "取决于网络和批量；有损失的是：" + "、".join(one.zh for one in shown),
    )


def _figure(preset: Preset, network: Network, runs: Runs) -> Figure:
    sizes = (*batch_runs.sizes(preset, network), LARGE)

    values = tuple(float(batch_runs.values_per_statistic(preset, network, size)) for size in sizes)
    return Figure(
        name=f"batch-size-{network.name}",
        title=f"{network.gloss.en}: test accuracy after the same number of samples",
        caption="Mean over seeds; the band spans the lowest and the highest seed. GroupNorm stands at the values that "
        f"BN has, on which it does not rest. {DIVERGED}",
        x_label="values per statistic of BN",
        y_label="test accuracy",
        x_log=True,
        y_percent=True,
        series=tuple(
            spread_series(
                {"batch": "BN", "group": "GroupNorm"}[norm],
                values,
                [runs.of(at_rate(preset, network, norm, size, runs.rate)) for size in sizes],
                final_accuracy,
                {"batch": BATCH, "group": GROUP}[norm],
            )
            for norm in batch_runs.norms(network)
        ),
    )
