"""Two claims about the gradient on its way back: that BN prevents its vanishing, and that BN causes it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from normwise.records import (
    Bilingual,
    Brief,
    Case,
    ClaimResult,
    Effect,
    Figure,
    Run,
    RunConfig,
    Saying,
    Series,
    Source,
    Verdict,
    estimate_words,
)
from normwise.studies.arms import Runs
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.intervals import geometric_effect
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.preset import Preset
from normwise.studies.wording import spaced, verdict_first

_MEASURE = "gradient_by_layer"
_SMALLEST = 1.0
_DEPTHS = {"quick": 20, "full": 40}
#: What stands for a gradient too small for float32.
_TINY = 1e-45
#: Name in the study, words for a reader, activation, initial weights.
_NETS = (
    ("relu_default", Bilingual("ReLU with default weights", "ReLU（默认初始化）"), "relu", "default"),
    ("relu_he", Bilingual("ReLU with He's weights", "ReLU（He 初始化）"), "relu", "he"),
    ("sigmoid", Bilingual("sigmoid with default weights", "sigmoid（默认初始化）"), "sigmoid", "default"),
    ("tanh", Bilingual("tanh with default weights", "tanh（默认初始化）"), "tanh", "default"),
)
_YANG = Source(
    "Yang, Pennington, Rao, Sohl-Dickstein & Schoenholz 2019, A Mean Field Theory of Batch Normalization",
    "abstract: BN makes gradients explode with depth; for ReLU by √(π/(π−1)) = 1.21 a layer",
    "https://arxiv.org/abs/1902.08129",
)


class _GradientFlow(Claim):
    """A claim about the gradient of each layer of untrained networks."""

    group = "training"
    dated = "2026-11-27"
    sources = (ioffe_szegedy("§3.3: gradients and the scale of the parameters"), _YANG)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Networks of {_depth(preset)} dense layers of 64, at their initial weights: no training. The size of the "
            "gradient of a layer is the Euclidean norm of the loss's gradient by its weights, on one batch of 128.",
            "Compared are the second layer and the last hidden one, which have equally many weights and both read what "
            "a hidden layer gives. With and without BN the weights are the same.",
            f"Seeds {', '.join(map(str, preset.seeds))}.",
        )

    def beside(self, preset: Preset, rate: Rate) -> tuple[RunConfig, ...]:
        return tuple(
            _arm(preset, activation, init, norm)
            for _, _, activation, init in _NETS
            for norm in ("batch", "none")
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        layers = _depth(preset) - 2
        return tuple(
            geometric_effect(
                _grows(gloss, norm),
                "times",
                [10 ** (-_lost(run) / layers) for run in runs.of(_arm(preset, activation, init, norm))],
                "by theory 1.21 for ReLU with BN" if norm == "batch" and activation == "relu" else "",
            )
            for _, gloss, activation, init in _NETS
            for norm in ("batch", "none")
        )


class GradientFlow(_GradientFlow):
    """Decades by which the gradient shrinks on its way back, without BN less with."""

    number = 90
    name = "gradient_flow"
    brief = Brief("gain", Bilingual("gradients that do not vanish", "不会消失的梯度"))
    statement = Bilingual("BN prevents vanishing gradients.", "BN 能防止梯度消失。")
    says = (
        Saying("003", "批标准化的基本原理"),
        Saying("004", "批归一化（开头一段）；作用：允许使用更高的学习率"),
    )
    falsifier = (
        "On the way back through the layers the gradient shrinks less than ten times more without BN than with it: "
        "every activation and initialization."
    )
    rule = (
        "The gradients are those before training. The loss of a network is the factor of ten by which the gradient of "
        "its second layer is smaller than that of its last hidden one, 0 where it is larger. The effect is the loss "
        "without BN less that with BN, by seed. The smallest that matters is "
        f"{_SMALLEST:g}, a factor of ten."
    )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                name,
                gloss,
                "deep",
                tuple(_arm(preset, activation, init, norm) for norm in ("batch", "none")),
                value=lambda bn, plain: max(_lost(plain), 0.0) - max(_lost(bn), 0.0),
                effect="lost on the way back without BN less with",
                unit="decades",
                smallest=_SMALLEST,
                note=_note,
            )
            for name, gloss, activation, init in _NETS
        )

    def result(self, preset: Preset, runs: Runs) -> ClaimResult:
        """Return the outcome; its take-away says what BN does to gradients that may explode, too."""
        result = super().result(preset, runs)
        name, said = _grows(_NETS[0][1], "batch"), result.takeaway
        words = estimate_words(next(effect for effect in result.further if effect.name == name))
        return replace(
            result,
            takeaway=Bilingual(
                f"{said.en} No verdict is on exploding: with BN and ReLU the gradient of each layer is {words.en} that "
                "of the next.",
                f"{said.zh}梯度爆炸未作判断：用 BN 和 ReLU 时，每层的梯度是后一层的{spaced(words.zh)}。",
            ),
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        return tuple(_figure(preset, runs, *net) for net in _NETS)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual(
                    "Before training BN keeps gradients from vanishing.", "训练前，BN 能防止梯度消失。"
                ),
                "not supported": Bilingual(
                    "Before training BN keeps no gradient from vanishing.", "训练前，BN 不能防止梯度消失。"
                ),
                "depends": Bilingual(
                    "Before training BN keeps gradients from vanishing in some networks only.",
                    "训练前，BN 只在部分网络中防止梯度消失。",
                ),
            },
            Bilingual(
                "Factor by which they shrink more on their way back without BN",
                "反向传播时，不用 BN 的梯度缩小倍数是用 BN 的",
            ),
            cases,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Put BN into deep networks whose first layers don't learn.", "深层网络前几层学不动时，加 BN。"
            )
        return Bilingual(
            "Where the first layers of a deep network don't learn, BN or initial weights that fit the activation help.",
            "深层网络前几层学不动时，可以加 BN，或采用与激活函数匹配的初始化。",
        )


class GradientFlowThroughBN(_GradientFlow):
    """Decades by which the gradient shrinks on its way back through layers with BN."""

    number = 100
    name = "gradient_flow_through_bn"
    statement = Bilingual(
        "BN causes vanishing gradients: they get small behind many layers with BN.",
        "BN 会导致梯度消失：经过多层 BN 后梯度变得很小。",
    )
    says = (Saying("001", "5.未来发展趋势与挑战；Q1"),)
    falsifier = (
        "On the way back through the layers with BN the gradient shrinks less than ten times: every network."
    )
    rule = (
        "The effect, before training, is the factor of ten by which the gradient of the second layer is smaller than "
        "that of the last hidden one, with BN, by seed; below 0 it grows. The smallest that matters is "
        f"{_SMALLEST:g}, a factor of ten. That of a sigmoid network without BN must be found to vanish, or nothing is "
        "concluded."
    )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            _shrinks(preset, name, gloss, activation, init, "batch")
            for name, gloss, activation, init in _NETS
        )

    def controls(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        gloss = Bilingual("gradients of a sigmoid network without BN vanish", "无 BN 的 sigmoid 网络梯度消失")
        return (_shrinks(preset, "sigmoid without BN", gloss, "sigmoid", "default", "none"),)

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        return verdict_first(
            found,
            {
                "supported": Bilingual(
                    "Before training gradients vanish behind many layers with BN.",
                    "训练前，经过多层 BN 后梯度会消失。",
                ),
                "not supported": Bilingual(
                    "Before training BN makes no gradient vanish.", "训练前，BN 不会使梯度消失。"
                ),
                "depends": Bilingual(
                    "Before training gradients vanish with BN in some networks only.",
                    "训练前，只有部分网络用 BN 后梯度会消失。",
                ),
            },
            Bilingual(
                "With BN, gradient of the second layer over that of the last",
                "用 BN 时，第二层的梯度是最后一层的",
            ),
            cases,
            _inverse,
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual("Keep the number of layers with BN small.", "不要堆叠太多 BN 层。")
        if found == "not supported":
            return Bilingual(
                "Don't leave BN out for fear of vanishing gradients. In very deep networks mind that they may grow "
                "instead: shortcuts prevent it.",
                "不必担心 BN 造成梯度消失；很深的网络反而要防止梯度变大，可以用残差连接。",
            )
        return Bilingual(
            "Look at the gradients of the first layers of your own network.", "请查看自己网络前几层的梯度。"
        )


def _shrinks(preset: Preset, name: str, gloss: Bilingual, activation: str, init: str, norm: str) -> CasePlan:
    return CasePlan(
        name,
        gloss,
        "deep",
        (_arm(preset, activation, init, norm),),
        value=_lost,
        effect=f"lost on the way back {LABEL[norm]}",
        unit="decades",
        smallest=_SMALLEST,
    )


def _grows(gloss: Bilingual, norm: str) -> str:
    return f"{gloss.en}, {LABEL[norm]}: growth of the gradient from a layer to the one before"


def _inverse(effect: Effect) -> Effect:
    """Return growth instead of loss."""
    return replace(effect, estimate=-effect.estimate, low=-effect.high, high=-effect.low)


def _depth(preset: Preset) -> int:
    return _DEPTHS[preset.name]


def _arm(preset: Preset, activation: str, init: str, norm: str) -> RunConfig:
    """Return a run of one step, whose first evaluation is that of the initial weights."""
    return RunConfig(
        model="plain_mlp",
        data=preset.data,
        norm=norm,
        steps=1,
        batch_size=60,
        lr=0.01,
        seed=0,
        eval_every=1,
        options={"depth": _depth(preset), "activation": activation, "init": init},
        train_samples=preset.train_samples,
        test_samples=preset.test_samples,
        measures=(_MEASURE,),
    )


def _gradients(run: Run) -> list[float]:
    """Return the size of the gradient of each layer at the initial weights."""
    return [max(size, _TINY) for size in run.points[0].measured[_MEASURE]]


def _lost(run: Run) -> float:
    """Return by how many decades the gradient of the second layer is below that of the last hidden one."""
    sizes = _gradients(run)
    return math.log10(sizes[-1] / sizes[1])


def _note(bn: Sequence[Run], plain: Sequence[Run]) -> str:
    without, with_bn = (fmean(map(_lost, runs)) for runs in (plain, bn))
    return f"{without:.1f} decades lost without BN, {with_bn:.1f} with"


def _figure(preset: Preset, runs: Runs, name: str, gloss: Bilingual, activation: str, init: str) -> Figure:
    layers = tuple(float(layer) for layer in range(1, _depth(preset) + 1))
    series: list[Series] = []
    for norm in ("batch", "none"):
        of_runs = [_gradients(run) for run in runs.of(_arm(preset, activation, init, norm))]
        by_layer = list(zip(*of_runs, strict=True))
        series.append(
            Series(
                LABEL[norm],
                layers,
                tuple(10 ** fmean(map(math.log10, sizes)) for sizes in by_layer),
                tuple(map(min, by_layer)),
                tuple(map(max, by_layer)),
                STYLE[norm],
            )
        )
    return Figure(
        name=f"gradient-flow-{name.replace('_', '-')}",
        title=f"{gloss.en}: size of the gradient by layer, before training",
        caption="Layer 1 is next to the input. Geometric mean over seeds; the band spans all seeds.",
        x_label="layer",
        y_label="size of the gradient",
        y_log=True,
        series=tuple(series),
    )
