"""A study such as normwise makes, with everything in it that is hard to show."""

import math
from typing import get_args

from normwise.records import (
    Bilingual,
    Brief,
    Case,
    ClaimResult,
    Effect,
    Group,
    Saying,
    Source,
    Study,
    Verdict,
)
from tests.support.records import ENVIRONMENT
from tests.support.reports import shown_figures
from tests.support.reports.made_claim import case, claim, three


def findings() -> tuple[ClaimResult, ...]:
    """Return claims with every verdict, outcome, shape of an interval and kind of text."""
    return (
        claim(
            "faster",
            "training",
            ("BN needs fewer steps to a given accuracy.", "BN 达到同样准确率所需的步数更少。"),
            "supported",
            (
                *three("shown", 4.0),
                case(
                    "shown",
                    (27.0, 9.0, 240.0),
                    family="deep",
                    note="3 of 5 without BN never got there: a lower bound",
                ),
            ),
            figures=(shown_figures.curves(),),
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
            figures=(shown_figures.rates(), shown_figures.many()),
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
                case(
                    "shown",
                    (62.0, -math.inf, math.inf),
                    unit="percentage points",
                    smallest=0.1,
                    family="deep",
                ),
            ),
            figures=(shown_figures.depths(), shown_figures.curves()),
            brief=Brief(
                "gain",
                Bilingual("depth", "深度"),
                Bilingual("Use it, or He initialisation, in deep nets", "深层网络用它"),
            ),
        ),
        claim(
            "final",
            "training",
            ("BN ends at a higher accuracy.", "BN 最终的准确率更高。"),
            "undecided",
            (
                case("open", (0.6, -0.9, 2.1), unit="percentage points", smallest=1.0, seeds_needed=38),
                case(
                    "open",
                    (0.2, math.nan, math.nan),
                    unit="percentage points",
                    smallest=1.0,
                    family="convolution",
                ),
            ),
            reason=("needs about 38 seeds", "大约需要 38 个随机种子"),
            brief=Brief("gain", Bilingual("final accuracy", "最终准确率")),
        ),
        _hostile(),
        claim(
            "medical",
            "generalisation",
            ("BN helps with few medical images.", "BN 有助于小样本医学图像。"),
            "not supported",
            (
                case("reversed", (-3.4, -6.8, -1.2), unit="percentage points", smallest=1.0),
                case(
                    "reversed",
                    (-350.0, -420.0, -280.0),
                    unit="percentage points",
                    smallest=1.0,
                    family="deep",
                ),
            ),
            says=("004",),
        ),
        claim(
            "bias",
            "use",
            ("A bias before BN does nothing.", "BN 之前的偏置不起作用。"),
            "supported",
            (
                case(
                    "shown",
                    (6.82e-16, 6.82e-16, 6.82e-16),
                    unit="percentage points",
                    smallest=1e-9,
                    exact=True,
                ),
            ),
            figures=(shown_figures.curves(),),
            brief=Brief(
                "gain",
                Bilingual("freedom from biases", "省去偏置"),
                Bilingual("Leave out biases before it", "前一层不要偏置"),
            ),
        ),
        claim(
            "normal",
            "use",
            ("BN's output follows the standard normal distribution.", "BN 的输出服从标准正态分布。"),
            "not supported",
            (
                case("refuted", (0.4, 0.4, 0.4), unit="", smallest=1e-4, exact=True),
                case("refuted", (0.2, 0.2, 0.2), unit="", smallest=1e-4, exact=True, family="convolution"),
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
            three("shown", 1.8),
            figures=(shown_figures.categories(),),
            says=("001", "003"),
            brief=Brief(
                "cost", Bilingual("memory", "内存"), Bilingual("Fold it before you deploy", "部署前把它折叠")
            ),
        ),
    )


def _hostile() -> ClaimResult:
    text = Bilingual(shown_figures.HOSTILE, shown_figures.HOSTILE)
    effect = Effect(
        shown_figures.HOSTILE, "percentage points", 0.34, -0.01, 1.2e-7, 0.95, 5, note=shown_figures.HOSTILE
    )
    return ClaimResult(
        claim="regularizes",
        group="generalisation",
        statement=Bilingual(
            f"Batch normalization regularizes: {shown_figures.HOSTILE}.",
            f"BN 有正则化作用：{shown_figures.HOSTILE}。",
        ),
        says=(Saying(shown_figures.HOSTILE, shown_figures.HOSTILE),),
        protocol=(shown_figures.HOSTILE,),
        falsifier=shown_figures.HOSTILE,
        rule=shown_figures.HOSTILE,
        dated="2026-11-27",
        revised=shown_figures.HOSTILE,
        sources=(
            Source(
                shown_figures.HOSTILE, shown_figures.HOSTILE, f"https://example.org/?{shown_figures.HOSTILE}"
            ),
            Source("A work with a strange address", "", "javascript:alert(1)"),
        ),
        cases=(Case(shown_figures.HOSTILE, text, "dense", effect, 1.0, "refuted"),),
        controls=(Case(shown_figures.HOSTILE, text, "deep", effect, 1.0, "open"),),
        further=(effect,),
        verdict="not supported",
        reason=text,
        takeaway=text,
        advice=text,
        figures=(shown_figures.categories(),),
        seeds=(2,),
        runs=50,
        brief=Brief("gain", Bilingual("regularization", "正则化")),
    )


def study() -> Study:
    """Return a study of ten claims, in which everything is that is hard to show."""
    return _study(findings())


def large_study() -> Study:
    """Return a study of fifty claims with five cases and two figures each, more than all claims have."""
    groups, verdicts = get_args(Group), get_args(Verdict)
    return _study(
        tuple(
            claim(
                f"claim-{i}",
                groups[i % 4],
                (f"Statement number {i} about what BN does to a network.", f"关于 BN 的第 {i} 条说法。"),
                verdicts[i % 4],
                three("shown", 3.0) + three("refuted", 0.7)[:2],
                figures=[shown_figures.curves()] * 2,
            )
            for i in range(50)
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
