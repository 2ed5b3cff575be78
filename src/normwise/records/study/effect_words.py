"""Effects in words and units that a reader of a tutorial can use, in both languages."""

import math
from collections.abc import Sequence

from normwise.records.study.case import Case, Effect
from normwise.records.study.wording import Bilingual

_MINUS = "−"
_UNITS = {
    "times": Bilingual(" times", "倍"),
    # A power of ten says little to most readers; the factor does.
    "decades": Bilingual(" times", "倍"),
    "percentage points": Bilingual(" points", "个百分点"),
    "rates": Bilingual(" learning rates", "个学习率"),
    "%": Bilingual("%", "%"),
    "% of the samples": Bilingual("% of the samples", "% 的样本"),
    "% of the outputs": Bilingual("% of the outputs", "% 的输出"),
    "% of the channels": Bilingual("% of the channels", "% 的通道"),
    "% of the loss": Bilingual("% of the loss", "% 的损失"),
}
_LARGE = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
_LARGE_ZH = ((1e12, 1e12, "万亿"), (1e8, 1e8, "亿"), (1e5, 1e4, "万"))
_HUGE = 1e15
_LARGEST_EXPONENT = 300


def short(value: float) -> str:
    """Return a number with two digits, without an exponent where that can be: ``4.3``, ``0.016``, ``120``."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.2g}")
    text = f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"
    return text.replace("-", _MINUS)


def effect_words(effect: Effect) -> Bilingual:
    """Return an effect with its interval: ``4.3 times (3.1 to 6)``; alone where the interval has no width to see."""
    estimate, interval = estimate_words(effect), interval_words(effect)
    if not interval.en:
        return estimate
    if _is_one(effect):
        unit = _unit(effect.unit)
        return Bilingual(
            f"{estimate.en} ({interval.en}{unit.en})", f"{estimate.zh}（{_zh(interval.zh, unit)}）"
        )
    return Bilingual(f"{estimate.en} ({interval.en})", f"{estimate.zh}（{interval.zh}）")


def estimate_words(effect: Effect) -> Bilingual:
    """Return the estimate with its unit, and "at least" or "at most" where it is a bound."""
    value, before = _plain(effect.estimate, effect.unit), _bound(effect)
    if math.isnan(value):
        return Bilingual("not measurable", "无法测得")
    if _is_one(effect):
        exactly = effect.low == effect.high or bool(before.en)
        return Bilingual(
            f"{before.en or ('' if exactly else 'about ')}the same",
            f"{before.zh or ('' if exactly else '大致')}相同",
        )
    number, unit = _number(value, effect.unit), _unit(effect.unit)
    if number.en == "0" and value != 0:
        before = Bilingual("about ", "约 ")
    return Bilingual(f"{before.en}{number.en}{unit.en}", f"{before.zh}{_zh(number.zh, unit)}")


def interval_words(effect: Effect) -> Bilingual:
    """Return the ends of the interval without the unit: ``3.1 to 6``; why there is none; nothing without a width."""
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
    if one == other:
        return _same("")
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
    units = dict.fromkeys(case.effect.unit for case in cases)
    spans = [_span([case for case in cases if case.effect.unit == unit]) for unit in units]
    return Bilingual("; ".join(one.en for one in spans), "；".join(one.zh for one in spans))


def size_words(size: float, unit: str) -> Bilingual:
    """Return a size that was set, and not measured, with all its digits and its unit: ``1.25 times``, ``1 point``."""
    number = short(_plain(size, unit)) if unit == "decades" else f"{size:g}"
    words = _unit(unit)
    en = words.en.removesuffix("s") if number == "1" and unit == "percentage points" else words.en
    return Bilingual(f"{number}{en}", _zh(number, words))


def _span(cases: Sequence[Case]) -> Bilingual:
    """Return the lowest and the highest estimate of cases with one unit; those that are not measurable have none."""
    known = [case.effect for case in cases if not math.isnan(case.effect.estimate)]
    if not known:
        return estimate_words(cases[0].effect)
    # Of two equal ones a bound is further out.
    lowest = min(known, key=lambda effect: (effect.estimate, not _bounds(effect, "an upper")))
    highest = max(known, key=lambda effect: (effect.estimate, _bounds(effect, "a lower")))
    unit = lowest.unit
    low, high = (_number(_plain(effect.estimate, unit), unit) for effect in (lowest, highest))
    words, least, most = _unit(unit), _bound(lowest), _bound(highest)
    if low == high and least in (most, _same("")):
        return estimate_words(highest)
    if low == high and not most.en:
        return estimate_words(lowest)
    return Bilingual(
        f"{least.en}{low.en} to {most.en}{high.en}{words.en}",
        f"{least.zh}{low.zh} {f'到{most.zh}' if most.zh else '至 '}{_zh(high.zh, words)}",
    )


def _plain(value: float, unit: str) -> float:
    """Return the value as it is written: decades as a factor."""
    if unit != "decades" or math.isnan(value):
        return value
    return 10.0 ** max(min(value, _LARGEST_EXPONENT), -_LARGEST_EXPONENT) if math.isfinite(value) else value


def _number(value: float, unit: str) -> Bilingual:
    if not math.isfinite(value):
        return _same("–" if math.isnan(value) else "∞" if value > 0 else f"{_MINUS}∞")
    if unit == "percentage points":
        rounded = round(value, 1)
        # Without a sign a difference is easily read as a level; nothing has none.
        return _same(f"{rounded:+.1f}".replace("-", _MINUS) if rounded else "0")
    size = abs(value)
    if unit in ("times", "decades") and 0 < size < 1e-3:
        part = _large(1 / size)
        return Bilingual(f"1/{part.en}", f"1/{part.zh}")
    if 0 < size < 1e-6:
        return Bilingual("almost 0", "几乎 0")
    return _large(value)


def _large(value: float) -> Bilingual:
    if abs(value) >= _HUGE:
        return Bilingual("over 1,000 trillion", "1000 万亿以上")
    en = next(
        (f"{short(value / least)} {word}" for least, word in _LARGE if abs(value) >= least), short(value)
    )
    zh = (f"{short(value / unit)} {word}" for least, unit, word in _LARGE_ZH if abs(value) >= least)
    return Bilingual(en, next(zh, short(value)))


def _unit(unit: str) -> Bilingual:
    return _UNITS.get(unit, _same(f" {unit}" if unit else ""))


def _zh(number: str, unit: Bilingual) -> str:
    """Return a Chinese number with its unit, which stands close to a Chinese character and apart from a digit."""
    if number.endswith("以上"):
        return f"{number.removesuffix('以上')}{unit.zh}以上"
    close = not unit.zh or unit.zh[0] in " %" or number[-1:] in "亿万"
    return f"{number}{'' if close else ' '}{unit.zh}"


def _is_one(effect: Effect) -> bool:
    """Tell whether the estimate is a factor that is written as 1, which is no change."""
    if effect.unit not in ("times", "decades"):
        return False
    return _number(_plain(effect.estimate, effect.unit), effect.unit).en == "1"


def _bound(effect: Effect) -> Bilingual:
    lower = _bounds(effect, "a lower")
    if lower == _bounds(effect, "an upper"):
        return _same("")
    return Bilingual("at least ", "至少 ") if lower else Bilingual("at most ", "至多 ")


def _bounds(effect: Effect, kind: str) -> bool:
    return f"{kind} bound" in effect.note


def _same(text: str) -> Bilingual:
    return Bilingual(text, text)
