"""Numbers in sentences, for a reader who sees them for the first time."""

import math
from collections.abc import Callable, Mapping, Sequence

from normwise.records import Bilingual, Case, Effect, Verdict, case_words, estimate_words, short

__all__ = ["of_each", "short", "spaced", "verdict_first"]

#: More numbers than these aren't read in a sentence: the figure and the table have them.
_MOST = 3
_UNDECIDED = Bilingual("Not decided.", "尚无定论。")


def spaced(zh: str) -> str:
    """Return a part of a Chinese sentence as it stands behind a Chinese character."""
    return f" {zh}" if zh[:1].isascii() else zh


def of_each(cases: Sequence[Case]) -> Bilingual:
    """Return the effect of each case: ``4.3 times (3.1 to 6) for 1 dense layer, …``; of many the ends.

    The ends are the smallest and the largest: ``0.8 times for 1 dense layer up to 4.3 times for a residual net``.
    """
    if (
        len(cases) > _MOST
        and len({case.effect.unit for case in cases}) == 1
        and not any(case.exact for case in cases)
    ):
        return _few([(case.effect, case.gloss) for case in cases])
    words = [(case.gloss, case_words(case)) for case in cases]
    en = ", ".join(f"{measured.en} for {gloss.en}" for gloss, measured in words)
    zh = "，".join(f"{gloss.zh} {measured.zh}" for gloss, measured in words)
    return Bilingual(en, zh)


def verdict_first(
    found: Verdict,
    openings: Mapping[Verdict, Bilingual],
    measured: Bilingual,
    cases: Sequence[Case],
    of: Callable[[Effect], Effect] = lambda effect: effect,
) -> Bilingual:
    """Return what the verdict means, and the effects, of more than a few cases the smallest and the largest.

    Args:
        found: Verdict of the claim.
        openings: A sentence for each verdict; one that leaves it undecided may be missing.
        measured: Name of the effect.
        cases: Cases of the claim.
        of: The effect as the sentence has it.
    """
    opening = openings.get(found, _UNDECIDED)
    effects = _few([(of(case.effect), case.gloss) for case in cases])
    return Bilingual(
        f"{opening.en} {measured.en}: {effects.en}.", f"{opening.zh}{measured.zh}：{effects.zh}。"
    )


def _few(effects: Sequence[tuple[Effect, Bilingual]]) -> Bilingual:
    known = [one for one in effects if not math.isnan(one[0].estimate)]
    if not known:
        return Bilingual("not measurable", "无法测得")
    if len(known) > _MOST:
        low, high = (end(known, key=lambda one: one[0].estimate) for end in (min, max))
        least, most = estimate_words(low[0]), estimate_words(high[0])
        return Bilingual(
            f"{least.en} for {low[1].en} up to {most.en} for {high[1].en}",
            f"从{spaced(low[1].zh)}的{spaced(least.zh)}，到{spaced(high[1].zh)}的{spaced(most.zh)}",
        )
    told = [(estimate_words(effect), gloss) for effect, gloss in known]
    return Bilingual(
        "; ".join(f"{words.en} for {gloss.en}" for words, gloss in told),
        "；".join(f"{gloss.zh}{spaced(words.zh)}" for words, gloss in told),
    )
