"""Numbers in sentences, as a reader who has never seen them takes them in."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case


def short(value: float) -> str:
    """Return a number with two digits, without an exponent where that can be: ``4.3``, ``0.016``, ``120``."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{float(f'{value:.2g}'):g}"


def of_each(cases: Sequence[Case]) -> Bilingual:
    """Return the effect of each case: ``4.3 times (3.1 to 6) for 1 dense layer, …``."""
    en = ", ".join(f"{_measured(case).en} for {case.gloss.en}" for case in cases)
    zh = "，".join(f"{case.gloss.zh}{_measured(case).zh}" for case in cases)
    return Bilingual(en, zh)


def _measured(case: Case) -> Bilingual:
    effect = case.effect
    ends = (effect.estimate, effect.low, effect.high)
    if effect.unit == "percentage points":
        estimate, low, high = (f"{'+' if value > 0 else ''}{value:.1f}" for value in ends)
        return Bilingual(f"{estimate} points ({low} to {high})", f" {estimate} 个百分点（{low} 至 {high}）")
    estimate, low, high = map(short, ends)
    unit = {"times": ("times", "倍"), "decades": ("decades", "个数量级")}.get(
        effect.unit, (effect.unit, effect.unit)
    )
    return Bilingual(f"{estimate} {unit[0]} ({low} to {high})", f" {estimate} {unit[1]}（{low} 至 {high}）")
