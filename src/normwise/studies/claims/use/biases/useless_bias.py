"""A bias before BN."""

import math
import sys
from collections.abc import Sequence

from normwise.records import Bilingual, Case, Figure, Run, Series, Verdict
from normwise.studies.arms import Runs
from normwise.studies.case_plan import CasePlan, IdentityPlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.claims.use.biases.bias_runs import (
    LR,
    NETWORKS,
    ROUNDING,
    STEPS,
    difference,
    differences,
    with_and_without,
)
from normwise.studies.judging.run_queries import result
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import BATCH, NONE, RECOMPUTED
from normwise.studies.networks import seeds_sentence
from normwise.studies.preset import Preset

#: Percent of the loss that a bias must move where it matters.
_MOVED = 0.1
_REVISED = "The first rule had no arm with BN after the activation."
_SOURCES = (
    ioffe_szegedy("§3.2: the bias can be ignored, as the mean subtraction cancels it and β does its part"),
)


class UselessBias(Claim):
    """The training trajectory with the bias against that without it, and the bias's gradient."""

    number = 368
    name = "useless_bias"
    group = "use"
    statement = Bilingual(
        "A bias in the layer right before BN does nothing.", "紧接在 BN 之前的那一层，偏置不起作用。"
    )
    says = ()
    falsifier = (
        "The loss of some step differs, by more than rounding, between the network with and without the bias, or the "
        "bias has a gradient: in every network."
    )
    rule = (
        "In float64. The deviation is the largest over all steps of the difference of the training loss with the bias "
        "and without it, relative to the loss, or the bias's largest gradient over the weights' largest if that is "
        f"larger. Up to {ROUNDING:g} it is rounding. As controls, without BN, and with BN after the activation, the "
        f"bias must move the loss by more than {_MOVED:g}%."
    )
    dated = "2026-11-27"
    revised = _REVISED
    sources = _SOURCES

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"{STEPS} steps of plain SGD, learning rate {LR:g}, batch 60, float64; with a bias in the hidden layers "
            "and without one, from the same weights and on the same batches.",
            seeds_sentence(preset, searched=False),
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[IdentityPlan, ...]:
        return tuple(
            IdentityPlan(
                name,
                preset.networks[name].gloss,
                preset.networks[name].family,
                with_and_without(preset, name, "batch"),
                deviation=_deviation,
                effect="difference of the loss by a bias before BN",
                unit="",
                rounding=ROUNDING,
            )
            for name in NETWORKS
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        network = preset.networks["dense_bn"]
        kinds = (
            ("without BN", Bilingual("without BN", "不用 BN"), "none", "before"),
            (
                "BN after the activation",
                Bilingual("BN after the activation", "BN 在激活之后"),
                "batch",
                "after",
            ),
        )
        return tuple(
            CasePlan(
                name,
                gloss,
                network.family,
                with_and_without(preset, "dense_bn", norm, place),
                value=lambda bias, plain: 100 * difference(bias, plain),
                effect="difference of the loss by a bias",
                unit="% of the loss",
                smallest=_MOVED,
            )
            for name, gloss, norm, place in kinds
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        kinds = (
            ("BN before the activation", "batch", "before", BATCH),
            ("without BN", "none", "before", NONE),
            ("BN after the activation", "batch", "after", RECOMPUTED),
        )
        series = [
            _series(
                label,
                [runs.of(config) for config in with_and_without(preset, "dense_bn", norm, place)],
                style,
            )
            for label, norm, place, style in kinds
        ]
        return (
            Figure(
                name="bias",
                title="How far a bias in the hidden layer moves the training loss",
                caption="Relative difference of the loss with the bias and without it, one dense layer; mean over "
                "seeds, and the lowest and highest seed. What float64 cannot tell apart is drawn at 2e-16.",
                x_label="steps",
                y_label="relative difference of the loss",
                y_log=True,
                series=tuple(series),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "With BN right behind the layer, training was the same with and without its bias, to rounding.",
                "BN 紧跟在该层之后时，有无偏置的训练过程完全一样（只差舍入误差）。",
            )
        if found == "undecided":
            return Bilingual(
                "The bias did little where it should matter, too, so this says nothing.",
                "在偏置本应起作用的地方它也几乎不起作用，因此无法下结论。",
            )
        return Bilingual(
            "A bias before BN moved the loss: look for what stands between the two.",
            "BN 前的偏置影响了损失：请检查两者之间有什么。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        return Bilingual(
            "Build the layer before BN with `bias=False`. Where an activation stands between the two, as in the code "
            "of tutorials 001 and 003, keep the bias: there it matters.",
            "BN 前的那一层用 `bias=False`。如果两者之间有激活函数（如教程 001、003 的代码），"
            "则保留偏置：它在那里有用。",
        )


def _deviation(bias: Run, plain: Run) -> float:
    return max(difference(bias, plain), result(bias).measured["bias_gradient"])


def _series(label: str, both: Sequence[Sequence[Run]], style: int) -> Series:
    bias, plain = both
    rows = {id(run): differences(run, other) for run, other in zip(bias, plain, strict=True)}
    return curve_series(
        label,
        bias,
        style,
        lambda run: [math.nan, *(max(value, sys.float_info.epsilon) for value in rows[id(run)])],
    )
