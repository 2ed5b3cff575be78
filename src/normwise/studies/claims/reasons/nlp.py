"""BN or LayerNorm is said to make training on text much faster."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, Figure, Saying, Source, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.reasons.sequence_runs import (
    budgets_sentence,
    curves,
    learns,
    search_soonest,
    soonest,
    steps_case,
)
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import verdict_first

#: Smallest ratio of steps that is "greatly" faster.
_GREATLY = 1.5
_NORMS = {"batch": Bilingual("BN", "BN"), "layer": Bilingual("LayerNorm", "LayerNorm")}
#: In quick LayerNorm would not get to the target within the budget, and nothing would follow from that.
_TRIED = {"quick": ("batch",), "full": ("batch", "layer")}
_FASTER: dict[Verdict, Bilingual] = {
    "supported": Bilingual(
        "On text a norm made training much faster.", "在文本任务中，归一化大大加快了训练。"
    ),
    "not supported": Bilingual(
        "On text a norm did not make training much faster.", "在文本任务中，归一化并没有大大加快训练。"
    ),
    "depends": Bilingual(
        "On text a norm made training much faster in some cases only.",
        "在文本任务中，归一化只在部分情况下大大加快训练。",
    ),
    "undecided": Bilingual(
        "Whether a norm makes training on text much faster stayed open.",
        "归一化能否大大加快文本任务的训练，尚无定论。",
    ),
}


class Nlp(Claim):
    """Steps until a test accuracy on text, without a norm over with BN or LayerNorm."""

    number = 440
    name = "nlp"
    group = "reasons"
    statement = Bilingual(
        "BN or LayerNorm makes training on text much faster.",
        "在文本任务中，BN 或 LayerNorm 大大提高训练效率。",
    )
    says = (Saying("003", "自然语言处理中的批标准化: 3. 应用场景"),)
    falsifier = (
        f"Without a norm, at the learning rate that suits it best, a network needs less than {_GREATLY:g} times the "
        "steps: with both norms, every network."
    )
    rule = (
        "For each network and norm the learning rate is chosen that reaches the target soonest. The effect is the "
        "ratio of steps to the target, without a norm over with it; a run that never reached it counts with its whole "
        "budget, which makes the ratio a bound, and the interval is widened by what the evaluations leave open. "
        f"{_GREATLY:g} times is the smallest ratio that is much. Control: without a norm the network learns its task."
    )
    dated = "2026-11-27"
    sources = (
        Source(
            "Devlin, Chang, Lee & Toutanova 2018, BERT",
            "§3: an encoder of Transformers, whose norm is LayerNorm",
            "https://arxiv.org/abs/1810.04805",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            budgets_sentence(preset, _networks(preset), steps_count=True),
            "BN leaves padding out of its statistics."
            + preset.pick(quick=" LayerNorm, which is slower to begin with, is tried in full only.", full=""),
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            search_soonest(preset, network, norm)
            for network in _networks(preset)
            for norm in ("none", *_TRIED[preset.name])
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            steps_case(
                preset,
                network,
                soonest(preset, rate, network, "none"),
                soonest(preset, rate, network, norm),
                smallest=_GREATLY,
                where=_NORMS[norm],
            )
            for network in _networks(preset)
            for norm in _TRIED[preset.name]
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(learns(network, soonest(preset, rate, network, "none")) for network in _networks(preset))

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(
            curves(
                f"nlp-{network.name}",
                network,
                [
                    (norm, runs.of(soonest(preset, runs.rate, network, norm)))
                    for norm in (*_TRIED[preset.name], "none")
                ],
            )
            for network in _networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        measured = Bilingual("Steps without a norm, compared with a norm", "不用归一化所需的步数，是使用时的")
        return verdict_first(found, _FASTER, measured, cases)

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Use a norm in networks for text.", "文本网络中应使用归一化。")
        return Bilingual(
            "Don't expect a norm to speed up every network for text; deep Transformers have LayerNorm by design.",
            "不要指望归一化能加速所有文本网络；深层 Transformer 本来就配有 LayerNorm。",
        )


def _networks(preset: Preset) -> list[Network]:
    names = ("sentiment_bilstm", "text_transformer")
    return [preset.sequences[name] for name in names if name in preset.sequences]
