"""At inference, the samples beside a sample."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Effect, Figure, Run, Saying, Verdict
from normwise.studies.arms import Runs
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import BATCH, RECOMPUTED
from normwise.studies.networks import bn_sentences, seeds_sentence, trained_with_bn
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_NETWORKS = ("dense_bn", "ioffe_mlp", "mnist_cnn")
#: Percent of the samples: fewer than one of them; more than half; the least share of classes that matters.
_NONE, _MOST, _FLIPPED = 1e-3, 50.0, 1.0
_SOURCES = (ioffe_szegedy("§3.1 and algorithm 2: inference depends deterministically on the input"),)
_PROTOCOL = (
    "After training, the test samples are put into batches of 32 twice, in two orders, so that each has other "
    "companions; for running statistics 64 of them are put into batches of their own, too."
)


class BatchIndependence(Claim):
    """Share of samples whose outputs move when only the samples beside them are exchanged."""

    number = 356
    name = "batch_independence"
    group = "use"
    statement = Bilingual(
        "With running statistics an output does not depend on the other samples of its batch.",
        "推理时使用保存的统计量，一个样本的输出与同批其他样本无关。",
    )
    says = (Saying("004", "训练和推理阶段的不同处理方式: 推理阶段"),)
    falsifier = (
        "With running statistics some output moves, by more than rounding, when other samples are put beside it: on "
        "every network."
    )
    rule = (
        "The effect is the percentage of samples of which an output moves by more than 1e-4 of the deviation of all "
        "outputs, which is rounding in float32. None may move. As a control, with the batch's own statistics more than "
        f"{_MOST:g}% must move."
    )
    dated = "2026-11-27"
    revised = "The first rule asked for both halves at once and had the change itself for its effect."
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            *bn_sentences(preset, _NETWORKS),
            _PROTOCOL,
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(
            IdentityPlan(
                network.name,
                network.gloss,
                network.family,
                (trained_with_bn(preset, network),),
                deviation=lambda run: _percent(run, "running", "moved"),
                effect="samples whose outputs move when their companions are exchanged",
                unit="% of the samples",
                rounding=_NONE,
            )
            for network in _networks(preset)
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            _of_batches(
                preset,
                network,
                "moved",
                _MOST,
                Bilingual(
                    f"{network.gloss.en}: the batch's own statistics", f"{network.gloss.zh}：用当前批的统计量"
                ),
            )
            for network in _networks(preset)
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        return tuple(
            mean_effect(
                f"{network.name}: samples whose class changes with the batch's own statistics",
                "% of the samples",
                [_percent(run, "batch", "flipped") for run in runs.of(trained_with_bn(preset, network))],
            )
            for network in _networks(preset)
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        networks = _networks(preset)
        groups = [runs.of(trained_with_bn(preset, network)) for network in networks]
        names = tuple(network.gloss.en for network in networks)
        return (
            Figure(
                name="batch-dependence",
                title="Samples whose predicted class changes when only their companions are exchanged",
                caption="Mean over seeds, with the lowest and the highest.",
                x_label="network",
                y_label="samples whose class changes",
                y_percent=True,
                lines=False,
                series=tuple(
                    spread_series(
                        label, names, groups, lambda run, kind=kind: _share(run, kind, "flipped"), style
                    )
                    for label, kind, style in (
                        ("running statistics", "running", BATCH),
                        ("the batch's own statistics", "batch", RECOMPUTED),
                    )
                ),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "With running statistics no output moved when the other samples of its batch were exchanged.",
                "使用保存的统计量时，换掉同批的其他样本，没有任何输出发生变化。",
            )
        if found == "undecided":
            return Bilingual(
                "With the batch's own statistics outputs hardly moved either, so this says nothing.",
                "即使用当前批的统计量，输出也几乎不变，因此无法下结论。",
            )
        return Bilingual(
            "Outputs moved with running statistics, too: look for a layer that mixes samples.",
            "使用保存的统计量时输出仍会变化：请检查是否有混合样本的层。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Call `model.eval()` before inference: an answer must not hang on who else asks.",
            "推理前调用 `model.eval()`：一个样本的结果不应取决于同批还有谁。",
        )


class BatchIndependenceLost(Claim):
    """Share of samples whose class changes with their companions where a batch has its own statistics."""

    number = 357
    name = "batch_independence_lost"
    group = "use"
    statement = Bilingual(
        "With the batch's own statistics, a sample's class depends on the other samples of its batch.",
        "推理时若用当前批的统计量，一个样本的类别会受同批其他样本影响。",
    )
    says = ()
    falsifier = (
        f"With the batch's own statistics less than {_FLIPPED:g}% of the samples change their class with other "
        "companions: on every network."
    )
    rule = (
        "The effect is the percentage of samples whose predicted class differs between two batches with other "
        f"companions. The smallest that matters is {_FLIPPED:g}%."
    )
    dated = "2026-11-27"
    revised = BatchIndependence.revised
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            *bn_sentences(preset, _NETWORKS),
            _PROTOCOL,
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            _of_batches(preset, network, "flipped", _FLIPPED, network.gloss) for network in _networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"With the batch's own statistics other companions changed the class of {each.en}.",
            f"用当前批的统计量时，换掉同批样本会改变类别的样本比例：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Never leave a model in training mode to predict; if it must be, predict in large mixed batches.",
            "不要在训练模式下做预测；实在需要时，使用大而混合的批。",
        )


def _networks(preset: Preset) -> list[Network]:
    return [preset.networks[name] for name in _NETWORKS]


def _of_batches(preset: Preset, network: Network, what: str, smallest: float, gloss: Bilingual) -> CasePlan:
    return CasePlan(
        f"{network.name}, {what}",
        gloss,
        network.family,
        (trained_with_bn(preset, network),),
        value=lambda run: _percent(run, "batch", what),
        effect=f"samples that are {what} by other companions, with the batch's own statistics",
        unit="% of the samples",
        smallest=smallest,
    )


def _share(run: Run, kind: str, what: str) -> float:
    return result(run).measured["batch_dependence"][kind][what]


def _percent(run: Run, kind: str, what: str) -> float:
    return 100 * _share(run, kind, what)
