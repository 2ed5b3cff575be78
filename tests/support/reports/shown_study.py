"""A study such as normwise makes, with everything in it that is hard to show."""

import math
from collections.abc import Sequence
from typing import get_args

from normwise.records import (
    Bilingual,
    Brief,
    Case,
    ClaimResult,
    Effect,
    Family,
    Figure,
    Group,
    Outcome,
    Saying,
    Series,
    Source,
    Study,
    Verdict,
)
from tests.support.records import ENVIRONMENT

NAN = math.nan
HOSTILE = 'no <b>bold</b>, no |pipe|, no "quote" & no </script><script>throw 1</script>'


def _curve(name: str, reach: float, pace: float, style: int) -> Series:
    steps = tuple(float(step) for step in range(0, 2001, 50))
    y = tuple(reach - (reach - 0.1) * math.exp(-step / pace) for step in steps)
    return Series(
        label=name,
        x=steps,
        y=y,
        low=tuple(value - 0.02 * math.exp(-step / 900) for value, step in zip(y, steps, strict=True)),
        high=tuple(value + 0.02 * math.exp(-step / 900) for value, step in zip(y, steps, strict=True)),
        style=style,
    )


def _rates() -> Figure:
    """Both axes logarithmic, and values that a logarithm does not have."""
    rates = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    return Figure(
        name="loss-by-rate",
        title="Final training loss by learning rate",
        caption="Mean over 5 seeds; the band is the 95% interval. A gap is a run that diverged.",
        x_label="learning rate",
        y_label="training loss after 2000 steps (nats)",
        series=(
            Series(
                "with batch normalization",
                rates,
                (2.3, 1.9, 1.1, 0.31, 0.08, 0.011, 0.0021, 0.0009, 0.0, 0.4),
                (2.2, 1.7, 0.9, 0.25, 0.06, 0.008, 0.0014, 0.0005, 0.0, 0.2),
                (2.4, 2.1, 1.3, 0.38, 0.11, 0.015, 0.0030, 0.0016, 0.0, 0.8),
                style=0,
                failed=(0, 0, 0, 0, 0, 0, 0, 0, 0, 2),
            ),
            Series(
                "without",
                rates,
                (2.3, 2.2, 1.9, 1.2, 0.42, 0.13, NAN, 2.1, NAN, NAN),
                (2.2, 2.1, 1.7, 0.9, 0.30, -0.1, NAN, 1.9, NAN, NAN),
                (2.4, 2.3, 2.1, 1.5, 0.60, 0.40, NAN, 2.3, NAN, NAN),
                style=1,
                failed=(0, 0, 0, 0, 0, 0, 5, 3, 5, 5),
            ),
        ),
        x_log=True,
        y_log=True,
    )


def _categories() -> Figure:
    norms = ("batch", "layer", "group", "instance", "none at all, with a careful initialisation")
    return Figure(
        name="accuracy-by-norm",
        title=f"Test accuracy by normalization: {HOSTILE}",
        caption=f"Points are means over 5 seeds, bars 95% intervals; {HOSTILE}.",
        x_label="normalization",
        y_label="test accuracy with running statistics, at the end of training",
        series=(
            Series(
                "batch size 8",
                norms,
                (0.962, 0.971, 0.969, 0.955, NAN),
                (0.951, 0.966, 0.962, 0.941, NAN),
                (0.972, 0.976, 0.975, 0.968, NAN),
                style=2,
            ),
            Series(
                HOSTILE,
                norms,
                (0.978, 0.972, 0.970, 0.957, 0.941),
                (0.974, 0.968, 0.964, 0.944, 0.930),
                (0.981, 0.976, 0.975, 0.969, 0.952),
                style=3,
            ),
        ),
        y_percent=True,
        lines=False,
    )


def _many() -> Figure:
    """Every style at once, without spreads."""
    depths = (2.0, 4.0, 8.0, 16.0, 32.0)
    series = tuple(
        Series(f"variant {style}", depths, tuple(10.0**-style * d**0.5 for d in depths), style=style)
        for style in range(8)
    )
    return Figure(
        name="gradients",
        title="Gradient norm by depth",
        caption="One line a variant.",
        x_label="layers",
        y_label="gradient norm at the first layer",
        series=series,
        x_log=True,
        y_log=True,
    )


def _curves() -> Figure:
    return Figure(
        name="accuracy-by-step",
        title="Test accuracy over optimiser steps",
        caption="Each at its own best learning rate. Lines are means over 5 seeds, bands 95% intervals.",
        x_label="optimiser step",
        y_label="test accuracy",
        series=(
            _curve("with BN", 0.981, 180, 0),
            _curve("without BN, at its own best learning rate", 0.968, 520, 1),
            _curve("without BN, at the learning rate that is best with BN", 0.71, 900, 2),
        ),
        y_percent=True,
    )


def _depths() -> Figure:
    depths = (2.0, 5.0, 10.0, 20.0, 40.0)
    return Figure(
        name="accuracy-by-depth",
        title="Test accuracy by depth",
        caption="A cross is a run that diverged.",
        x_label="layers",
        y_label="test accuracy",
        series=(
            Series("with BN", depths, (0.98, 0.98, 0.975, 0.95, 0.61), style=0),
            Series("without BN", depths, (0.97, 0.9, 0.1, NAN, NAN), style=1, failed=(0, 0, 0, 5, 5)),
        ),
        x_log=True,
        y_percent=True,
    )


_GLOSSES: dict[Family, Bilingual] = {
    "dense": Bilingual("3 sigmoid layers", "3 层 sigmoid 网络"),
    "convolution": Bilingual("2 convolutions and a dense layer", "2 层卷积加 1 层全连接"),
    "recurrent": Bilingual("a recurrent network", "循环网络"),
    "deep": Bilingual("20 layers", "20 层网络"),
}


def case(
    outcome: Outcome,
    ends: tuple[float, float, float],
    *,
    unit: str = "times",
    smallest: float = 1.25,
    family: Family = "dense",
    gloss: Bilingual | None = None,
    note: str = "",
    exact: bool = False,
    seeds_needed: int | None = None,
) -> Case:
    """Return a case with an effect of these ends."""
    name = "steps without BN over steps with" if unit == "times" else "difference in test accuracy"
    effect = Effect(name, unit, *ends, 0.95, 5, note)
    return Case(
        family, gloss or _GLOSSES[family], family, effect, smallest, outcome, exact, seeds_needed=seeds_needed
    )


def claim(
    name: str,
    group: Group,
    statement: tuple[str, str],
    verdict: Verdict,
    cases: Sequence[Case],
    *,
    figures: Sequence[Figure] = (),
    says: Sequence[str] = ("000", "003"),
    reason: tuple[str, str] = ("", ""),
    brief: Brief | None = None,
) -> ClaimResult:
    """Return a claim with something in every field."""
    return ClaimResult(
        claim=name,
        group=group,
        statement=Bilingual(*statement),
        says=tuple(Saying(tutorial, "advantages") for tutorial in says),
        protocol=("SGD without momentum, batches of 60.", "Judged on seeds 2 to 6."),
        falsifier="A ratio of steps below a quarter more, in every network.",
        rule="The smallest ratio that matters is 1.25.",
        dated="2026-11-27",
        revised="The first rule knew plain SGD only." if verdict == "supported" else "",
        sources=(
            Source(
                "Ioffe & Szegedy, Batch Normalization (2015)", "section 4.1", "https://arxiv.org/abs/1502.03167"
            ),
        ),
        cases=tuple(cases),
        controls=(),
        further=(),
        verdict=verdict,
        reason=Bilingual(*reason),
        takeaway=Bilingual(f"{statement[0]} Measured: so and so.", f"{statement[1]}测得如此。"),
        advice=Bilingual("Use it where it helps.", "有用的地方就用。"),
        figures=tuple(figures),
        seeds=(2, 3, 4, 5, 6),
        runs=90,
        brief=brief,
    )


def _three(outcome: Outcome, middle: float) -> tuple[Case, ...]:
    return tuple(
        case(outcome, (middle * f, middle * f / 1.3, middle * f * 1.3), family=family)
        for f, family in zip((1.0, 1.2, 0.8), get_args(Family)[:3], strict=True)
    )


def findings() -> tuple[ClaimResult, ...]:
    """Return claims with every verdict, outcome, shape of an interval and kind of text."""
    hostile = _hostile()
    return (
        claim(
            "faster",
            "training",
            ("BN needs fewer steps to a given accuracy.", "BN 达到同样准确率所需的步数更少。"),
            "supported",
            (
                *_three("shown", 4.0),
                case(
                    "shown",
                    (27.0, 9.0, 240.0),
                    family="deep",
                    note="3 of 5 without BN never got there: a lower bound",
                ),
            ),
            figures=(_curves(),),
            says=("000", "001", "002", "003", "004"),
            brief=Brief(
                "gain",
                Bilingual("speed", "速度"),
                Bilingual("Use it where training time counts", "在意训练时间就用它"),
            ),
        ),
        claim(
            "higher-rates",
            "training",
            ("BN allows much higher learning rates.", "BN 允许大得多的学习率。"),
            "depends",
            (
                case("shown", (1.24, 0.91, 1.57), unit="decades", smallest=0.5),
                case("reversed", (-1.1, -1.5, -0.7), unit="decades", smallest=0.5, family="convolution"),
            ),
            figures=(_rates(), _many()),
            reason=("it holds for 3 sigmoid layers", "对 3 层 sigmoid 网络成立"),
            brief=Brief("gain", Bilingual("higher learning rates", "更高的学习率")),
        ),
        claim(
            "depth",
            "training",
            ("BN lets networks of many layers train.", "BN 让很深的网络也能训练。"),
            "supported",
            (
                case("shown", (85.0, 80.1, 89.9), unit="percentage points", smallest=10.0, family="deep"),
                case("shown", (62.0, -math.inf, math.inf), unit="percentage points", smallest=0.1, family="deep"),
            ),
            figures=(_depths(), _curves()),
            brief=Brief(
                "gain", Bilingual("depth", "深度"), Bilingual("Use it, or He initialisation, in deep networks", "深层网络请用它或 He 初始化")
            ),
        ),
        claim(
            "final",
            "training",
            ("BN ends at a higher accuracy.", "BN 最终的准确率更高。"),
            "undecided",
            (
                case("open", (0.6, -0.9, 2.1), unit="percentage points", smallest=1.0, seeds_needed=38),
                case("open", (0.2, NAN, NAN), unit="percentage points", smallest=1.0, family="convolution"),
            ),
            reason=("needs about 38 seeds", "大约需要 38 个随机种子"),
            brief=Brief("gain", Bilingual("final accuracy", "最终准确率")),
        ),
        hostile,
        claim(
            "medical",
            "generalisation",
            ("BN helps with few medical images.", "BN 有助于小样本医学图像。"),
            "not supported",
            (
                case("reversed", (-3.4, -6.8, -1.2), unit="percentage points", smallest=1.0),
                case("reversed", (-350.0, -420.0, -280.0), unit="percentage points", smallest=1.0, family="deep"),
            ),
            says=("004",),
        ),
        claim(
            "bias",
            "use",
            ("A bias before BN does nothing.", "BN 之前的偏置不起作用。"),
            "supported",
            (case("shown", (6.82e-16,) * 3, unit="percentage points", smallest=1e-9, exact=True),),
            figures=(_curves(),),
            brief=Brief(
                "gain", Bilingual("freedom from biases", "省去偏置"), Bilingual("Leave out biases before it", "前一层不要偏置")
            ),
        ),
        claim(
            "normal",
            "use",
            ("BN's output follows the standard normal distribution.", "BN 的输出服从标准正态分布。"),
            "not supported",
            (
                case("refuted", (0.4,) * 3, unit="", smallest=1e-4, exact=True),
                case("refuted", (0.2,) * 3, unit="", smallest=1e-4, exact=True, family="convolution"),
            ),
            says=("001",),
        ),
        claim(
            "padding",
            "use",
            ("BN over padding costs accuracy.", "BN 统计包含填充会损失准确率。"),
            "undecided",
            (case("shown", (12.0, 3.0, 21.0), unit="percentage points", smallest=1.0, family="recurrent"),),
            says=(),
            reason=("a seed left out gives another verdict", "去掉一个随机种子，结论就会改变"),
        ),
        claim(
            "cost",
            "reasons",
            ("BN costs memory and time.", "BN 占用更多内存和时间。"),
            "supported",
            _three("shown", 1.8),
            figures=(_categories(),),
            says=("001", "003"),
            brief=Brief("cost", Bilingual("memory", "内存"), Bilingual("Fold it before you deploy", "部署前把它折叠")),
        ),
    )


def _hostile() -> ClaimResult:
    text = Bilingual(HOSTILE, HOSTILE)
    effect = Effect(HOSTILE, "percentage points", 0.34, -0.01, 1.2e-7, 0.95, 5, note=HOSTILE)
    return ClaimResult(
        claim="regularizes",
        group="generalisation",
        statement=Bilingual(f"Batch normalization regularizes: {HOSTILE}.", f"BN 有正则化作用：{HOSTILE}。"),
        says=(Saying(HOSTILE, HOSTILE),),
        protocol=(HOSTILE,),
        falsifier=HOSTILE,
        rule=HOSTILE,
        dated="2026-11-27",
        revised=HOSTILE,
        sources=(
            Source(HOSTILE, HOSTILE, f"https://example.org/?{HOSTILE}"),
            Source("A work with a strange address", "", "javascript:alert(1)"),
        ),
        cases=(Case(HOSTILE, text, "dense", effect, 1.0, "refuted"),),
        controls=(Case(HOSTILE, text, "deep", effect, 1.0, "open"),),
        further=(effect,),
        verdict="not supported",
        reason=text,
        takeaway=text,
        advice=text,
        figures=(_categories(),),
        seeds=(2,),
        runs=50,
        brief=Brief("gain", Bilingual("regularization", "正则化")),
    )


def study() -> Study:
    """Return a study of ten claims, in which everything is that is hard to show."""
    return _study(findings())


def large_study() -> Study:
    """Return a study of thirty claims with eight cases and six figures each, as large as they come."""
    groups, verdicts = get_args(Group), get_args(Verdict)
    return _study(
        tuple(
            claim(
                f"claim-{i}",
                groups[i % 4],
                (f"Statement number {i} about what BN does to a network.", f"关于 BN 的第 {i} 条说法。"),
                verdicts[i % 3],
                _three("shown", 3.0) + _three("open", 1.2) + _three("refuted", 0.7)[:2],
                figures=[_curves()] * 6,
            )
            for i in range(30)
        )
    )


def _study(claims: tuple[ClaimResult, ...]) -> Study:
    return Study(
        preset="full",
        data="mnist",
        date="2025-03-01T12:30:00+00:00",
        runs=1240,
        cpu_seconds=9150.0,
        wall_seconds=4680.0,
        environment=ENVIRONMENT,
        findings=claims,
    )
