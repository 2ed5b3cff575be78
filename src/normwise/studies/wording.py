"""Numbers in sentences, as a reader who has never seen them takes them in."""

from collections.abc import Sequence

from normwise.records import Bilingual, Case, case_words, short

__all__ = ["of_each", "short"]


def of_each(cases: Sequence[Case]) -> Bilingual:
    """Return the effect of each case: ``4.3 times (3.1 to 6) for 1 dense layer, …``."""
    words = [(case.gloss, case_words(case)) for case in cases]
    en = ", ".join(f"{measured.en} for {gloss.en}" for gloss, measured in words)
    zh = "，".join(f"{gloss.zh} {measured.zh}" for gloss, measured in words)
    return Bilingual(en, zh)
