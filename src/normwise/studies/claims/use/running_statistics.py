"""Statistics at inference: running averages, those of the whole training set, and none."""

from collections.abc import Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Effect, Figure, Run, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Runs
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.run_queries import final_accuracy, result
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import BATCH, NONE, RECOMPUTED
from normwise.studies.networks import arm, seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

#: Percentage points that other statistics must win to matter, and that missing ones must cost.
_WON, _LOST = 1.0, 5.0
#: Steps after which an average of momentum 0.01 has still a third of what it began with.
_SHORT = 100
_NETWORKS = ("dense_bn", "ioffe_mlp", "mnist_cnn")
#: Name of BN whose statistics stay what they are before training, 0 and 1.
_NEVER = "batch:momentum=0"
_SOURCES = (
    ioffe_szegedy("§3.1 and algorithm 2: moving averages, or the statistics of the population"),
    Source(
        "Wu & Johnson 2021, Rethinking 'Batch' in BatchNorm",
        "§3: exact statistics beside moving averages; 1,000 to 10,000 samples suffice",
        "https://arxiv.org/abs/2105.07576",
    ),
)


class RunningStatistics(Claim):
    """Accuracy with statistics of the whole training set, less that with running averages."""

    number = 350
    name = "running_statistics"
    group = "use"
    statement = Bilingual(
        "At inference BN needs exactly the statistics of the whole training set; running averages are not enough.",
        "推理时 BN 必须用整个训练集本身的均值和方差，滑动平均不够。",
    )
    says = (Saying("003", "批标准化的优缺点: 缺点, 2 (“整个训练集”, taken literally)"),)
    falsifier = (
        f"Statistics that are computed anew from the whole training set win less than {_WON:g} points over the running "
        "averages of training: in every case."
    )
    rule = (
        "The effect is the test accuracy of one trained network with the mean and variance of the whole training set "
        "in each BN layer, less that with its running averages, in percentage points. The smallest that matters is "
        f"{_WON:g} point, so a refuted case shows that running averages suffice: it is a test of non-inferiority. As a "
        f"control, statistics that were never updated must cost more than {_LOST:g} points: else no statistics matter."
    )
    dated = "2026-11-27"
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            *_trained(preset),
            "Momentum is the weight of the newest batch in the running average, as in PyTorch: 0.1 is its default, "
            "and 0.01 is what Keras and TensorFlow call 0.99.",
            f"Beside the verdict stand {_SHORT} steps with momentum 0.01, chosen so that the averages must fail: they "
            "are still 37% what they began with.",
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        networks = [preset.networks[name] for name in _NETWORKS]
        small = replace(_usual(preset, networks[0]), batch_size=8)
        return (
            *(_exact(_usual(preset, network), network, "", "") for network in networks),
            _exact(small, networks[0], "momentum 0.1, batch 8", "动量 0.1，每批 8 个样本"),
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        gloss = Bilingual("statistics never updated cost accuracy", "从未更新的统计量使准确率下降")
        return (replace(_never_updated(preset, "ioffe_mlp"), gloss=gloss),)

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(config for plan in _too_short(preset) for config in plan.arms)

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        return tuple(
            mean_effect(f"{plan.name}: {plan.effect}", plan.unit, plan.values(runs))
            for plan in _too_short(preset)
        )

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        shown = [case.gloss for case in cases if case.outcome == "shown"]
        return Bilingual(
            "the network and the batch; the averages fell short with "
            + " and ".join(one.en for one in shown),
            "取决于网络和批量大小；滑动平均不够用的情形：" + "、".join(one.zh for one in shown),
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        plans = (*self.cases(preset, runs.rate), *_too_short(preset))
        names = tuple(plan.gloss.en for plan in plans)
        kinds = (("running averages", final_accuracy, BATCH), ("whole training set", _recomputed, RECOMPUTED))
        series = [
            spread_series(label, names, [runs.of(plan.arms[0]) for plan in plans], value, style)
            for label, value, style in kinds
        ]
        controls = self.controls(preset, runs.rate)
        never = spread_series(
            "never updated",
            (preset.networks["ioffe_mlp"].gloss.en,),
            [runs.of(plan.arms[1]) for plan in controls],
            final_accuracy,
            NONE,
        )
        return (
            Figure(
                name="running-statistics",
                title="Test accuracy by the statistics that BN uses at inference",
                caption="Mean over seeds, with the lowest and the highest.",
                x_label="network and training",
                y_label="test accuracy",
                y_percent=True,
                lines=False,
                series=(*series, never),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"Statistics of the whole training set instead of running averages changed the accuracy by {each.en}.",
            f"用整个训练集的统计量代替滑动平均，准确率变化：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Recompute the statistics on the training set before you evaluate (`normwise calibrate`).",
                "评估之前，先在训练集上重新计算统计量（`normwise calibrate`）。",
            )
        return Bilingual(
            "Switch to evaluation mode. Recompute the statistics (`normwise calibrate`) where momentum is small, "
            "training was short or batches were few; the running averages have not caught up there.",
            "推理前切换到评估模式。如果动量很小、训练步数很少或批量很小，滑动平均可能还没跟上，"
            "就用 `normwise calibrate` 重新计算统计量。",
        )


class RunningStatisticsKept(Claim):
    """Accuracy with running averages, less that with statistics that training never updated."""

    number = 351
    name = "running_statistics_kept"
    group = "use"
    statement = Bilingual(
        "BN fails at inference with statistics that were never updated.",
        "统计量从未更新时，BN 在推理阶段失效。",
    )
    says = (
        Saying("000", "四、BN的注意事项: 4"),
        Saying("003", "批标准化的优缺点: 缺点, 2"),
        Saying("004", "3. 使用 BatchNorm 的一般建议: 2"),
    )
    falsifier = (
        f"Without any update of the statistics the accuracy falls by less than {_LOST:g} points: on every "
        "network."
    )
    rule = (
        "The effect is the test accuracy with running averages less that of the same network with statistics that were "
        f"never updated, in percentage points. The smallest that matters is {_LOST:g} points."
    )
    dated = "2026-11-27"
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Both are trained alike, with the batches' own statistics. In one the running averages move with momentum "
            "0.1; in the other they stay at mean 0 and variance 1, which is what TensorFlow 1 does where the update "
            "operations are not run (tutorial 000's code has none).",
            *_trained(preset),
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(_never_updated(preset, name) for name in _NETWORKS)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"Kept statistics, against ones that were never updated, were worth {each.en}.",
            f"与从未更新过的统计量相比，训练时保存的统计量带来：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found in ("not supported", "undecided"):
            return Bilingual(
                "Let the framework keep the statistics all the same; it costs nothing.",
                "仍然让框架保存统计量，这几乎没有成本。",
            )
        return Bilingual(
            "Train in training mode and save the statistics with the weights. In TensorFlow 1 run the update "
            "operations (`UPDATE_OPS`) and pass `training=`: without it BN does not normalise at all.",
            "在训练模式下训练，并把统计量和权重一起保存。在 TensorFlow 1 中要运行更新操作（`UPDATE_OPS`）"
            "并传入 `training=`：不传时 BN 根本不做归一化。",
        )


def _usual(preset: Preset, network: Network) -> RunConfig:
    steps = preset.pick(
        quick={"dense_bn": 200, "ioffe_mlp": 200, "mnist_cnn": 100}[network.name], full=network.steps
    )
    return arm(preset, network, "batch", steps=steps, eval_every=steps, measures=("recomputed_accuracy",))


def _trained(preset: Preset) -> tuple[str, ...]:
    """Return how the networks are trained, as sentences of a protocol."""
    networks = [preset.networks[name] for name in _NETWORKS]
    return tuple(
        f"{network.gloss.en}: {_usual(preset, network).steps} steps of plain SGD, batch {network.batch_size}, rate "
        f"{network.lr:g}."
        for network in networks
    )


def _too_short(preset: Preset) -> tuple[CasePlan, ...]:
    """Return trainings in which the averages can't have caught up."""
    networks = [preset.networks[name] for name in _NETWORKS[1:]]
    return tuple(
        _exact(
            replace(_usual(preset, network), norm="batch:momentum=0.01", steps=_SHORT, eval_every=_SHORT),
            network,
            f"momentum 0.01, {_SHORT} steps",
            f"动量 0.01，只训练 {_SHORT} 步",
        )
        for network in networks
    )


def _exact(config: RunConfig, network: Network, en: str, zh: str) -> CasePlan:
    gloss = network.gloss
    if en:
        gloss = Bilingual(f"{gloss.en} ({en})", f"{gloss.zh}（{zh}）")
    return CasePlan(
        f"{network.name}, {en}" if en else network.name,
        gloss,
        network.family,
        (config,),
        value=lambda run: 100 * (_recomputed(run) - final_accuracy(run)),
        effect="accuracy with statistics of the whole training set, less that with running averages",
        unit="percentage points",
        smallest=_WON,
    )


def _never_updated(preset: Preset, name: str) -> CasePlan:
    network = preset.networks[name]
    usual = _usual(preset, network)
    return CasePlan(
        f"{name}, never updated",
        network.gloss,
        network.family,
        (usual, replace(usual, norm=_NEVER, measures=())),
        value=lambda kept, never: 100 * (final_accuracy(kept) - final_accuracy(never)),
        effect="accuracy with running averages, less that with statistics never updated",
        unit="percentage points",
        smallest=_LOST,
    )


def _recomputed(run: Run) -> float:
    return result(run).measured["recomputed_accuracy"]
