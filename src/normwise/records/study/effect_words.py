"""Effects in words and units that a reader of a tutorial can use, in both languages."""

import math
from collections.abc import Sequence

from normwise.records.study.case import Case, Effect
from normwise.records.study.wording import Bilingual

_UNITS = {
    "times": Bilingual(" times", " 倍"),
    # A power of ten says little to most readers; the factor does.
    "decades": Bilingual(" times", " 倍"),
    "percentage points": Bilingual(" points", " 个百分点"),
}
_LARGE = ((1e12, "trillion", "万亿", 1e12), (1e9, "billion", "亿", 1e8), (1e6, "million", "万", 1e4))
_LARGEST_EXPONENT = 300
_NEARLY_ONE = 0.005


def short(value: float) -> str:
    """Return a number with two digits, without an exponent where that can be: ``4.3``, ``0.016``, ``120``."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{float(f'{value:.2g}'):g}"


def effect_words(effect: Effect) -> Bilingual:
    """Return an effect with its interval: ``4.3 times (3.1 to 6)``."""
    estimate, interval = estimate_words(effect), interval_words(effect)
    return Bilingual(f"{estimate.en} ({interval.en})", f"{estimate.zh}（{interval.zh}）")


def estimate_words(effect: Effect) -> Bilingual:
    """Return the estimate with its unit, and "at least" or "at most" where it is a bound."""
    value = _plain(effect.estimate, effect.unit)
    if math.isnan(value):
        return Bilingual("not measurable", "无法测得")
    if _is_factor(effect) and abs(value - 1) < _NEARLY_ONE:
        return Bilingual("as much", "相同")
    number, unit = _number(value, effect.unit), _unit(effect.unit)
    before = _bound(effect)
    return Bilingual(f"{before.en}{number.en}{unit.en}", f"{before.zh}{number.zh}{unit.zh}")


def interval_words(effect: Effect) -> Bilingual:
    """Return the ends of the interval without the unit: ``3.1 to 6``; or why there is none."""
    low, high = (_plain(end, effect.unit) for end in (effect.low, effect.high))
    if effect.seeds == 1:
        return Bilingual("one seed", "仅一个种子")
    if (math.isnan(low) and math.isnan(high)) or (math.isinf(low) and math.isinf(high)):
        return Bilingual("no interval", "无区间")
    one, other = _number(low, effect.unit), _number(high, effect.unit)
    if not math.isfinite(low):
        return Bilingual(f"{other.en} or less", f"{other.zh} 或更小")
    if not math.isfinite(high):
        return Bilingual(f"{one.en} or more", f"{one.zh} 或更大")
    return Bilingual(f"{one.en} to {other.en}", f"{one.zh} 至 {other.zh}")


def case_words(case: Case) -> Bilingual:
    """Return what was measured in a case; of an identity, whether anything but rounding was left."""
    if not case.exact:
        return effect_words(case.effect)
    if case.effect.estimate <= case.smallest:
        return Bilingual("no difference beyond rounding", "除舍入误差外没有差别")
    worst = estimate_words(case.effect)
    return Bilingual(f"a difference of {worst.en}", f"差别为 {worst.zh}")


def range_words(cases: Sequence[Case]) -> Bilingual:
    """Return what was measured in all cases together: one with its interval, of several the span of the estimates."""
    if not cases:
        return Bilingual("nothing was measured", "没有测量")
    if len(cases) == 1:
        return case_words(cases[0])
    if all(case.exact for case in cases):
        return case_words(max(cases, key=lambda case: case.effect.estimate / case.smallest))
    if len({case.effect.unit for case in cases}) > 1:
        each = [case_words(case) for case in cases]
        return Bilingual("; ".join(one.en for one in each), "；".join(one.zh for one in each))
    unit, estimates = cases[0].effect.unit, [case.effect.estimate for case in cases]
    low, high = (_number(_plain(end, unit), unit) for end in (min(estimates), max(estimates)))
    words = _unit(unit)
    if low == high:
        return Bilingual(f"{low.en}{words.en}", f"{low.zh}{words.zh}")
    return Bilingual(f"{low.en} to {high.en}{words.en}", f"{low.zh} 至 {high.zh}{words.zh}")


def _plain(value: float, unit: str) -> float:
    """Return the value as it is written: decades as a factor."""
    if unit != "decades" or math.isnan(value):
        return value
    return 10.0 ** max(min(value, _LARGEST_EXPONENT), -_LARGEST_EXPONENT) if math.isfinite(value) else value


def _number(value: float, unit: str) -> Bilingual:
    if not math.isfinite(value):
        return _same("–" if math.isnan(value) else "∞" if value > 0 else "-∞")
    if unit == "percentage points":
        rounded = round(value, 1)
        # Without a sign a difference is easily read as a level; nothing has none.
        return _same(f"{rounded:+.1f}" if rounded else "0.0")
    size = abs(value)
    if unit in ("times", "decades") and 0 < size < 1e-3:
        part = _large(1 / size)
        return Bilingual(f"1/{part.en}", f"1/{part.zh}")
    if 0 < size < 1e-6:
        return Bilingual("almost 0", "几乎 0")
    return _large(value)


def _large(value: float) -> Bilingual:
    for least, en, zh, divisor in _LARGE:
        if least * 1000 > abs(value) >= least:
            return Bilingual(f"{short(value / least)} {en}", f"{short(value / divisor)} {zh}")
    if abs(value) >= 1e15:
        return Bilingual("over 1,000 trillion", "1000 万亿以上")
    return _same(short(value))


def _unit(unit: str) -> Bilingual:
    if unit in _UNITS:
        return _UNITS[unit]
    return _same(f" {unit}" if unit else "")


def _is_factor(effect: Effect) -> bool:
    return effect.unit in ("times", "decades")


def _bound(effect: Effect) -> Bilingual:
    lower, upper = "a lower bound" in effect.note, "an upper bound" in effect.note
    if lower == upper:
        return _same("")
    return Bilingual("at least ", "至少 ") if lower else Bilingual("at most ", "至多 ")


def _same(text: str) -> Bilingual:
    return Bilingual(text, text)
