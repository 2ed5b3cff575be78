"""Claims and cases with something in every field."""

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
    Source,
    Verdict,
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
                "Ioffe & Szegedy, Batch Normalization (2015)",
                "section 4.1",
                "https://arxiv.org/abs/1502.03167",
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


def three(outcome: Outcome, middle: float) -> tuple[Case, ...]:
    """Return a case each of three families, about one effect."""
    return tuple(
        case(outcome, (middle * f, middle * f / 1.3, middle * f * 1.3), family=family)
        for f, family in zip((1.0, 1.2, 0.8), get_args(Family)[:3], strict=True)
    )
