"""Sentences of claims: the verdict in plain words first, then what was measured in all cases together."""

from collections.abc import Mapping, Sequence

from normwise.records import Bilingual, Case, Verdict, range_words


def verdict_sentence(
    found: Verdict, said: Mapping[Verdict, Bilingual], measured: Bilingual, cases: Sequence[Case]
) -> Bilingual:
    """Return a sentence for the verdict, and one with the span of the effects, which ``measured`` names."""
    span = range_words(cases)
    return Bilingual(
        f"{said[found].en}. {measured.en}: {span.en}.", f"{said[found].zh}。{measured.zh}：{span.zh}。"
    )


def of_unit(cases: Sequence[Case], unit: str) -> list[Case]:
    """Return the cases whose effects have this unit."""
    return [case for case in cases if case.effect.unit == unit]
