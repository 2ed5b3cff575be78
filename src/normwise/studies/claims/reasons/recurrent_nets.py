"""BN is said to suit recurrent networks badly, and LayerNorm better."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Figure, Saying, Source, Verdict, range_words
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.reasons.sequence_runs import (
    accuracy_case,
    at_its_rate,
    budgets_sentence,
    curves,
    learns,
    search,
    search_soonest,
    soonest,
    steps_case,
)
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

#: Smallest effects that matter: percentage points, and a ratio of steps.
_POINTS, _RATIO = 1.0, 1.25
_NETWORKS = ("row_lstm", "speech_lstm", "sentiment_bilstm")
_REVISED = (
    "The first rule compared BN with LayerNorm alone, called every lead above 0 shown, looked at the end only, and "
    "trained all norms at one learning rate."
)
_RULE = (
    "Two effects a network: the difference of the accuracies at the end, each norm at the learning rate that ends "
    f"highest, of which {_POINTS:g} percentage point matters; and the ratio of the steps to the target, each at the "
    f"learning rate that reaches it soonest, of which {_RATIO:g} matters. A run that never reached the target counts "
    "with its whole budget, which makes the ratio a bound, and the interval is widened by what the evaluations leave "
    "open. Control: without a norm the network learns its task."
)
_LAURENT = Source(
    "Laurent, Pereyra, Brakel, Zhang & Bengio 2015, Batch Normalized Recurrent Neural Networks",
    "§3.3 and §5: BN of what goes into a layer, over batch and time, trains faster and generalises no better",
    "https://arxiv.org/abs/1510.01378",
)
_BA = Source(
    "Ba, Kiros & Hinton 2016, Layer Normalization",
    "§1 and §3.1: recurrent networks as what BN does not fit",
    "https://arxiv.org/abs/1607.06450",
)
_HARM: dict[Verdict, Bilingual] = {
    "supported": Bilingual("BN did not suit recurrent networks.", "BN 不适合循环神经网络。"),
    "not supported": Bilingual("BN suited recurrent networks.", "BN 适合循环神经网络。"),
    "depends": Bilingual("BN suited some recurrent networks, and others not.", "BN 只适合部分循环神经网络。"),
    "undecided": Bilingual(
        "Whether BN suits recurrent networks stayed open.", "BN 是否适合循环神经网络，尚无定论。"
    ),
}
_BETTER: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "LayerNorm is better than BN in recurrent networks.", "循环神经网络中 LayerNorm 优于 BN。"
    ),
    "not supported": Bilingual(
        "LayerNorm was no better than BN in recurrent networks.", "循环神经网络中 LayerNorm 并不优于 BN。"
    ),
    "depends": Bilingual(
        "LayerNorm is better than BN in some recurrent networks, and in others not.",
        "LayerNorm 只在部分循环神经网络中优于 BN。",
    ),
    "undecided": Bilingual(
        "Whether LayerNorm is better than BN in recurrent networks stayed open.",
        "循环神经网络中 LayerNorm 是否优于 BN，尚无定论。",
    ),
}


class RecurrentNets(Claim):
    """BN between recurrent layers, against none."""

    number = 430
    name = "recurrent_nets"
    group = "reasons"
    statement = Bilingual("BN does not suit recurrent networks.", "BN 不适合循环神经网络。")
    says = (
        Saying("001", "6.附录常见问题与解答: Q2"),
        Saying("004", "4. 何时不使用 BatchNorm: RNN"),
    )
    falsifier = (
        "With BN between the layers a recurrent network ends no more than a point lower, and needs less than a quarter "
        "more steps, than without: every network."
    )
    rule = f"{_RULE} BN does not suit where it ends lower or needs more steps."
    dated = "2026-11-27"
    revised = _REVISED
    sources = (_LAURENT, _BA)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            budgets_sentence(preset, _networks(preset), steps_count=True),
            "BN stands behind each recurrent layer, with one mean and variance a channel over the real positions of "
            "all sequences of the batch; padding is left out.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return _searches(preset, _networks(preset), ("none", "batch"))

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        plans: list[CasePlan] = []
        for network in _networks(preset):
            plans += _both(preset, rate, network, ("none", "batch"), "without BN", "with BN")
        return tuple(plans)

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return _learn(preset, rate, _networks(preset))

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            curves(
                f"recurrent-nets-{network.name}",
                network,
                [
                    (norm, runs.of(at_its_rate(preset, runs.rate, network, norm)))
                    for norm in ("batch", "none")
                ],
            )
            for network in _networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        points = range_words(_of_unit(cases, "percentage points"))
        measured = Bilingual(
            f"Accuracy gained without BN: {points.en}; steps with BN, compared with none",
            f"不用 BN 时准确率变化：{points.zh}；用 BN 所需的步数，是不用时的",
        )
        return verdict_first(found, _HARM, measured, _of_unit(cases, "times"))

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Leave BN out of recurrent networks.", "循环网络中不要使用 BN。")
        return Bilingual(
            "Don't rule BN out between recurrent layers: try it, with padding left out of its statistics, and tune the "
            "learning rate for it.",
            "不必排除在循环层之间使用 BN：可以一试，但统计量要排除填充位置，学习率要单独调。",
        )


class RecurrentNetsLayerNorm(Claim):
    """LayerNorm against BN, between recurrent layers and within one."""

    number = 431
    name = "recurrent_nets_layer_norm"
    group = "reasons"
    statement = Bilingual(
        "LayerNorm is better than BN in recurrent networks.", "循环神经网络中 LayerNorm 优于 BN。"
    )
    says = (Saying("004", "4. 何时不使用 BatchNorm: RNN"),)
    falsifier = (
        "With LayerNorm a recurrent network ends less than a point higher than with BN between the layers, and BN "
        "needs less than a quarter more steps: every network."
    )
    rule = f"{_RULE} LayerNorm is better where it ends higher or needs fewer steps."
    dated = "2026-11-27"
    revised = _REVISED
    sources = (_BA, _LAURENT)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            budgets_sentence(preset, _with_layer_norm(preset), steps_count=True),
            "BN or LayerNorm stands behind each recurrent layer; in the network that reads rows LayerNorm is also "
            "tried within the recurrence, as the code of tutorial 000 has it.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        rows = preset.sequences["row_lstm"]
        return (
            *_searches(preset, _with_layer_norm(preset), ("none", "batch", "layer")),
            *_searches(preset, [rows], ("recurrent_layer",)),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        plans: list[CasePlan] = []
        for network in _with_layer_norm(preset):
            plans += _both(preset, rate, network, ("layer", "batch"), "with LayerNorm", "with BN")
        rows = preset.sequences["row_lstm"]
        where = Bilingual("LayerNorm within the recurrence", "LayerNorm 在循环内部")
        within = ("recurrent_layer", "batch")
        plans += _both(preset, rate, rows, within, "with LayerNorm", "with BN", where)
        return tuple(plans)

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return _learn(preset, rate, _with_layer_norm(preset))

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            curves(
                f"recurrent-nets-layer-norm-{network.name}",
                network,
                [
                    (norm, runs.of(at_its_rate(preset, runs.rate, network, norm)))
                    for norm in ("batch", "layer")
                ],
            )
            for network in _with_layer_norm(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        points = range_words(_of_unit(cases, "percentage points"))
        measured = Bilingual(
            f"Accuracy gained with LayerNorm: {points.en}; steps with BN, compared with LayerNorm",
            f"改用 LayerNorm 时准确率变化：{points.zh}；用 BN 所需的步数，是 LayerNorm 的",
        )
        return verdict_first(found, _BETTER, measured, _of_unit(cases, "times"))

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Take LayerNorm in recurrent networks.", "循环网络中用 LayerNorm。")
        return Bilingual(
            "Try both, each at its own learning rate; take LayerNorm anyway where batches are small or one sequence "
            "comes at a time.",
            "两者都试，各自调好学习率；批量小或逐条处理序列时，仍应选 LayerNorm。",
        )


def _networks(preset: Preset) -> list[Network]:
    return [preset.sequences[name] for name in _NETWORKS]


def _with_layer_norm(preset: Preset) -> list[Network]:
    names = preset.pick(quick=("row_lstm",), full=("row_lstm", "sentiment_bilstm"))
    return [preset.sequences[name] for name in names]


def _searches(preset: Preset, networks: Sequence[Network], norms: Sequence[str]) -> tuple[Search, ...]:
    return tuple(
        choice(preset, network, norm)
        for network in networks
        for norm in norms
        for choice in (search, search_soonest)
    )


def _learn(preset: Preset, rate: Rate, networks: Sequence[Network]) -> tuple[CasePlan, ...]:
    return tuple(learns(network, at_its_rate(preset, rate, network, "none")) for network in networks)


def _both(
    preset: Preset,
    rate: Rate,
    network: Network,
    norms: tuple[str, str],
    better_is: str,
    worse_is: str,
    where: Bilingual | None = None,
) -> list[CasePlan]:
    """Return both effects, above nothing where the first norm is better."""
    better, worse = norms
    return [
        accuracy_case(
            network,
            at_its_rate(preset, rate, network, better),
            at_its_rate(preset, rate, network, worse),
            smallest=_POINTS,
            effect=f"accuracy {better_is} less accuracy {worse_is}",
            where=where,
        ),
        steps_case(
            preset,
            network,
            soonest(preset, rate, network, worse),
            soonest(preset, rate, network, better),
            smallest=_RATIO,
            where=where,
        ),
    ]


def _of_unit(cases: Sequence[Case], unit: str) -> list[Case]:
    return [case for case in cases if case.effect.unit == unit]
