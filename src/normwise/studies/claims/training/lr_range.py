"""BN makes the choice of the learning rate matter less."""

from collections.abc import Sequence
from statistics import fmean

from normwise.records import Bilingual, Brief, Case, Figure, Run, Saying, Series, Verdict
from normwise.studies.arms import Runs
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.training.learning_rate_sweep import (
    NORMS,
    ends_without_bn,
    learns,
    open_by,
    range_note,
    ranges,
    sweep,
    sweep_sentences,
    swept_networks,
    unseen_rates,
)
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

_SMALLEST = 0.3


class LearningRateRange(Claim):
    """Decades of learning rates that train, with BN and without."""

    number = 30
    name = "lr_range"
    group = "training"
    statement = Bilingual(
        "BN makes the choice of the learning rate matter less.", "BN 降低了对学习率选择的依赖。"
    )
    says = (
        Saying("000", "二、BN的优点 2、减少对超参数的依赖"),
        Saying("003", "批标准化的优缺点：稳定性增强"),
    )
    falsifier = "The range of learning rates that trains is less than twice as wide with BN as without: every network."
    rule = (
        "The width of a range is the distance of the lowest usable rate from the highest, in factors of ten. The "
        "effect is the width with BN less the width without, by seed; the interval is widened by the sweep's steps "
        f"at the two ends of a range. The smallest that matters is {_SMALLEST:g}, a factor of two. The range without "
        "BN must end within the sweep on both sides, or nothing is concluded; where the one with BN does not, the "
        "effect is a lower bound."
    )
    dated = "2026-11-27"
    brief = Brief(
        "gain",
        Bilingual("a wider choice of learning rates", "更宽的学习率选择范围"),
        Bilingual("Choose learning rates from a wider range", "可以从更宽的范围中选择学习率"),
    )
    sources = (ioffe_szegedy("§3.3: resilience to the parameter scale and to learning rates"),)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return sweep_sentences(preset)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(_case(preset, network) for network in swept_networks(preset))

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            control(preset, network)
            for network in swept_networks(preset)
            for control in (learns, ends_without_bn)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        networks = swept_networks(preset)
        found = [
            [
                ranges(of_seed)
                for of_seed in zip(*(runs.of(one) for one in sweep(preset, network)), strict=True)
            ]
            for network in networks
        ]
        names = tuple(network.gloss.en for network in networks)
        figure = Figure(
            name="lr-range",
            title="Width of the range of learning rates that train",
            caption="The highest usable rate over the lowest. Geometric mean over seeds; the bar spans all seeds.",
            x_label="network",
            y_label="highest over lowest",
            series=tuple(
                _widths(
                    LABEL[norm],
                    names,
                    [[pair[place].width for pair in seeds] for seeds in found],
                    STYLE[norm],
                )
                for place, norm in enumerate(NORMS)
            ),
            y_log=True,
            lines=False,
        )
        return (figure,)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual(
                    "With BN more learning rates train.", "用 BN 时学习率的可选范围更宽。"
                ),
                "not supported": Bilingual(
                    "With BN the learning rate matters as much as without.", "用 BN 时学习率同样重要。"
                ),
                "depends": Bilingual(
                    "In some networks only more learning rates train with BN.",
                    "只有部分网络用 BN 后学习率的可选范围更宽。",
                ),
            },
            Bilingual(
                "Width of the usable range, with BN over without",
                "可用范围的宽度（最高与最低学习率之比），用 BN 是不用 BN 的",
            ),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "With BN a coarse search for the learning rate will do: one value for each factor of three to ten.",
                "用 BN 时粗略搜索学习率即可：每 3 至 10 倍试一个值。",
            )
        return Bilingual(
            "Search for the learning rate as carefully as without BN.", "仍要像不用 BN 时一样仔细搜索学习率。"
        )


def _case(preset: Preset, network: Network) -> CasePlan:
    return CasePlan(
        network.name,
        network.gloss,
        network.family,
        sweep(preset, network),
        value=_gain,
        effect="width of the usable range with BN less without",
        unit="decades",
        smallest=_SMALLEST,
        resolution=lambda *runs: open_by(runs, upper_only=False),
        unseen=lambda *runs: unseen_rates(runs, upper_only=False),
        note=lambda *runs: range_note(runs, upper_only=False),
    )


def _widths(label: str, names: tuple[str, ...], decades: Sequence[Sequence[float]], style: int) -> Series:
    mean, low, high = (tuple(10 ** kind(seeds) for seeds in decades) for kind in (fmean, min, max))
    return Series(label, names, mean, low, high, style)


def _gain(*runs: Run) -> float:
    bn, plain = ranges(runs)
    return bn.width - plain.width
