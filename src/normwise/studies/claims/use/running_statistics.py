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
        "At inference BN needs the statistics of the whole training set; running averages are not enough.",
        "推理时 BN 必须用整个训练集的均值和方差，滑动平均不够。",
    )
    says = (Saying("003", "批标准化的优缺点: 缺点, 2"), Saying("000", "四、BN的注意事项: 4"))
    falsifier = (
        f"Statistics that are computed anew from the whole training set win less than {_WON:g} points over the running "
        "averages of training: in every case."
    )
    rule = (
        "The effect is the test accuracy of one trained network with the mean and variance of the whole training set "
        "in each BN layer, less that with its running averages, in percentage points. The smallest that matters is "
        f"{_WON:g} point, so a refuted case shows that running averages suffice: it is a test of non-inferiority."
    )
    dated = "2026-11-27"
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            *(
                f"{network.gloss.en}: {_usual(preset, network).steps} steps of plain SGD at rate {network.lr:g}."
                for network in map(preset.networks.__getitem__, _NETWORKS)
            ),
            "Momentum is the weight of the newest batch in the running average, as in PyTorch: 0.1 is its default, "
            "and 0.01 is what Keras and TensorFlow call 0.99.",
            seeds_sentence(preset),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        dense, sigmoid, conv = (preset.networks[name] for name in _NETWORKS)
        return (
            *(_exact(_usual(preset, network), network, "", "") for network in (dense, sigmoid, conv)),
            _exact(
                _with(preset, dense, batch_size=8), dense, "momentum 0.1, batch 8", "动量 0.1，每批 8 个样本"
            ),
            *(
                _exact(
                    _with(preset, network, momentum=0.01, steps=_SHORT),
                    network,
                    f"momentum 0.01, {_SHORT} steps",
                    f"动量 0.01，只训练 {_SHORT} 步",
                )
                for network in (sigmoid, conv)
            ),
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return (_never_updated(preset, "ioffe_mlp"),)

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        shown = [case.gloss for case in cases if case.outcome == "shown"]
        return Bilingual(
            "the momentum and how long and in which batches it was trained; the averages fell short with "
            + " and ".join(one.en for one in shown),
            "取决于动量、训练步数和批量大小；滑动平均不够用的情形：" + "、".join(one.zh for one in shown),
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        plans = self.cases(preset, runs.rate)
        names = tuple(plan.gloss.en for plan in plans)
        kinds = (("running averages", final_accuracy, BATCH), ("whole training set", _recomputed, RECOMPUTED))
        series = [
            spread_series(label, names, [runs.of(plan.arms[0]) for plan in plans], value, style)
            for label, value, style in kinds
        ]
        controls = self.controls(preset, runs.rate)
        never = spread_series(
            "never updated",
            tuple(plan.gloss.en for plan in controls),
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
        "BN works at inference only with statistics that were kept while training.",
        "训练时必须保存均值和方差，否则推理时 BN 不能用。",
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
            seeds_sentence(preset),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(_never_updated(preset, name) for name in ("dense_bn", "ioffe_mlp"))

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return _never_updated(preset, "mnist_cnn").arms

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        # By seed it loses from nothing to 60 points: no few seeds would tell its mean.
        plan = _never_updated(preset, "mnist_cnn")
        return (mean_effect(f"{plan.name}: {plan.effect}", plan.unit, plan.values(runs)),)

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


def _with(
    preset: Preset, network: Network, *, momentum: float = 0.1, steps: int | None = None, batch_size: int = 60
) -> RunConfig:
    usual = _usual(preset, network)
    steps = steps or usual.steps
    norm = "batch" if momentum == 0.1 else f"batch:momentum={momentum:g}"
    return replace(usual, norm=norm, steps=steps, eval_every=steps, batch_size=batch_size)


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
