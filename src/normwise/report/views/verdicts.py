"""Verdicts of a study in words: of each claim, in the order of a report, and all of them in a headline."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from normwise.records import (
    Bilingual,
    Brief,
    Case,
    ClaimResult,
    Group,
    Outcome,
    Study,
    Verdict,
    estimate_words,
)

#: A verdict is read by its word; the symbol lets the eye find it, with or without colour.
SYMBOLS: dict[Verdict, str] = {"supported": "✓", "depends": "~", "not supported": "✗", "undecided": "?"}
_OUTCOMES: dict[Outcome, Bilingual] = {
    "shown": Bilingual("shown", "成立"),
    "refuted": Bilingual("too small to matter", "小到无关紧要"),
    "reversed": Bilingual("the contrary", "正好相反"),
    "open": Bilingual("open", "未定"),
}
_WORDS: dict[Verdict, Bilingual] = {
    "supported": Bilingual("Yes", "是"),
    "depends": Bilingual("It depends", "视情况而定"),
    "not supported": Bilingual("No", "否"),
    "undecided": Bilingual("Not enough data", "数据不足"),
}
_GROUPS: dict[Group, Bilingual] = {
    "training": Bilingual("Does it train better?", "训练得更好吗？"),
    "generalisation": Bilingual("Does it generalise better?", "泛化得更好吗？"),
    "use": Bilingual("How must it be used?", "应当怎样使用？"),
    "reasons": Bilingual("Why does it work, and at what price?", "为什么有效，代价是什么？"),
}
#: The same parts in a row of links.
SHORT: dict[Group, Bilingual] = {
    "training": Bilingual("Training", "训练"),
    "generalisation": Bilingual("Generalising", "泛化"),
    "use": Bilingual("Use", "使用"),
    "reasons": Bilingual("Reasons and price", "原因与代价"),
}
#: Name of a number that no verdict rests on.
FURTHER = Bilingual("beside the verdict", "结论之外")
_NO_HEADLINE = Bilingual(
    "Batch normalization: what tutorials say of it, put to the test", "批归一化：教程里的说法，逐条检验"
)


def groups(study: Study) -> tuple[tuple[Group, Bilingual, tuple[ClaimResult, ...]], ...]:
    """Return the parts of a report, each with its question and its claims: yes, depends, no, not enough data."""
    order = list(SYMBOLS)
    found = []
    for group, question in _GROUPS.items():
        claims = [finding for finding in study.findings if finding.group == group]
        if claims:
            found.append((group, question, tuple(sorted(claims, key=lambda one: order.index(one.verdict)))))
    return tuple(found)


def verdict_word(finding: ClaimResult) -> Bilingual:
    """Return the verdict in a word or two; of an identity, that it is exact; of the contrary, that it is that."""
    word = _WORDS[finding.verdict]
    if finding.exact and finding.verdict in ("supported", "not supported"):
        held = "精确成立" if finding.verdict == "supported" else "可精确判定"
        return Bilingual(f"{word.en}, exactly", f"{word.zh}，{held}")
    reversed_all = bool(finding.cases) and all(case.outcome == "reversed" for case in finding.cases)
    if finding.verdict == "not supported" and reversed_all:
        return Bilingual(f"{word.en}, the contrary", f"{word.zh}，正好相反")
    return word


def verdict_words(finding: ClaimResult) -> Bilingual:
    """Return the verdict with its reason, such as ``Not enough data: needs about 12 seeds``."""
    word, reason = verdict_word(finding), finding.reason
    return Bilingual(
        f"{word.en}: {reason.en}" if reason.en else word.en,
        f"{word.zh}：{reason.zh}" if reason.zh else word.zh,
    )


def tutorials(finding: ClaimResult) -> tuple[str, ...]:
    """Return the numbers of the tutorials that make the claim."""
    return tuple(sorted({saying.tutorial for saying in finding.says}))


def outcome_words(case: Case) -> Bilingual:
    """Return the outcome of a case; an identity holds, or does not."""
    if case.exact and case.outcome == "shown":
        return Bilingual("holds exactly", "精确成立")
    return Bilingual("does not hold", "不成立") if case.exact else _OUTCOMES[case.outcome]


def smallest_words(case: Case) -> Bilingual:
    """Return the smallest effect that matters, with its unit; of an identity, the rounding that it leaves."""
    if case.exact:
        return Bilingual("more than rounding", "超出舍入误差")
    return estimate_words(replace(case.effect, estimate=case.smallest, note=""))


def control_name(case: Case) -> Bilingual:
    """Return the name of a control."""
    return Bilingual(f"control: {case.gloss.en}", f"对照：{case.gloss.zh}")


def needed_words(case: Case) -> Bilingual:
    """Return about how many seeds would decide an open case."""
    return Bilingual(f"needs about {case.seeds_needed} seeds", f"大约需要 {case.seeds_needed} 个种子")


def headline(study: Study) -> Bilingual:
    """Return what batch normalization buys and costs, of the claims that hold."""
    gains, costs = (_of_kind(study, kind, "supported") for kind in ("gain", "cost"))
    if not gains and not costs:
        return _NO_HEADLINE
    en, zh = [], []
    if gains:
        en.append(f"Batch normalization buys {_and(gains)}.")
        zh.append(f"批归一化带来{_zh(gains)}。")
    if costs:
        en.append(f"{'It' if gains else 'Batch normalization'} costs {_and(costs)}.")
        zh.append(f"代价是{_zh(costs)}。" if gains else f"批归一化的代价是{_zh(costs)}。")
    return Bilingual(" ".join(en), "".join(zh))


def beside_the_headline(study: Study) -> tuple[Bilingual, ...]:
    """Return a sentence each for what depends, what does not hold, and what is undecided."""
    wanted: tuple[tuple[Verdict, tuple[str, str], tuple[str, str]], ...] = (
        ("depends", ("It sometimes buys", "有时带来"), ("it sometimes costs", "有时的代价是")),
        ("not supported", ("It does not buy", "并不带来"), ("it does not cost", "并不付出")),
    )
    found = []
    for verdict, *beginnings in wanted:
        kinds = zip(("gain", "cost"), beginnings, strict=True)
        parts = [(begin, briefs) for kind, begin in kinds if (briefs := _of_kind(study, kind, verdict))]
        if parts:
            en = "; ".join(f"{begin[0]} {_and(briefs)}" for begin, briefs in parts)
            zh = "；".join(f"{begin[1]}{_zh(briefs)}" for begin, briefs in parts)
            found.append(Bilingual(f"{en[0].upper()}{en[1:]}.", f"{zh}。"))
    undecided = [*_of_kind(study, "gain", "undecided"), *_of_kind(study, "cost", "undecided")]
    if undecided:
        found.append(Bilingual(f"Not enough data on {_and(undecided)}.", f"数据不足：{_zh(undecided)}。"))
    return tuple(found)


def to_do(study: Study) -> tuple[tuple[ClaimResult, Bilingual], ...]:
    """Return what to do about the claims that hold, in a few words each."""
    return tuple(
        (finding, finding.brief.do)
        for finding in study.findings
        if finding.brief is not None and finding.verdict == "supported" and finding.brief.do.en
    )


def _of_kind(study: Study, kind: str, verdict: Verdict) -> list[Brief]:
    briefs = [finding.brief for finding in study.findings if finding.verdict == verdict]
    return [brief for brief in briefs if brief is not None and brief.kind == kind]


def _and(briefs: Sequence[Brief]) -> str:
    words = _different(brief.words.en for brief in briefs)
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _zh(briefs: Sequence[Brief]) -> str:
    words = _different(brief.words.zh for brief in briefs)
    return f"{'、'.join(words[:-1])}和{words[-1]}" if len(words) > 1 else words[0]


def _different(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
