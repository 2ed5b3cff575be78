"""Numbers in sentences, as a reader who has never seen them takes them in."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, case_words, estimate_words, short

__all__ = ["of_each", "short"]

#: Cases of which a sentence can hold every number; of more it has the lowest and the highest.
_MOST = 3


def of_each(cases: Sequence[Case]) -> Bilingual:
    """Return the effect of each case: ``4.3 times (3.1 to 6) for 1 dense layer, …``.

    Of many cases only the smallest and the largest: ``0.8 times for 1 dense layer up to 4.3 times for a residual net``.
    """
    one_scale = len({case.effect.unit for case in cases}) == 1 and not any(case.exact for case in cases)
    if len(cases) > _MOST and one_scale:
        ends = [pick(cases, key=lambda case: case.effect.estimate) for pick in (min, max)]
        (low, low_gloss), (high, high_gloss) = ((estimate_words(case.effect), case.gloss) for case in ends)
        return Bilingual(
            f"{low.en} for {low_gloss.en} up to {high.en} for {high_gloss.en}",
            f"从{low_gloss.zh}的 {low.zh}到{high_gloss.zh}的 {high.zh}",
        )
    words = [(case.gloss, case_words(case)) for case in cases]
    en = ", ".join(f"{measured.en} for {gloss.en}" for gloss, measured in words)
    zh = "，".join(f"{gloss.zh} {measured.zh}" for gloss, measured in words)
    return Bilingual(en, zh)
