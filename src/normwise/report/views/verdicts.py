"""Verdicts of a study in words: of each claim, in the order of a report, and all of them in a headline."""

from collections.abc import Iterable, Sequence

from normwise.records import (
    Bilingual,
    Brief,
    Case,
    ClaimResult,
    Group,
    Outcome,
    Study,
    Verdict,
    size_words,
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
#: Letters of a statement that the plot of all claims shows whole.
_LONGEST_NAME = 60
#: Gains, and costs, that a headline names; the rest stand beneath it.
_MOST = 3
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


def is_none(finding: ClaimResult) -> bool:
    """Tell whether nothing but rounding was measured, of an identity."""
    return finding.exact and all(case.effect.estimate <= case.smallest for case in finding.cases)


def row_name(finding: ClaimResult) -> Bilingual:
    """Return the statement as the plot of all claims has it: of a long one, what stands before its explanation."""
    return Bilingual(_shortened(finding.statement.en), finding.statement.zh)


def _shortened(statement: str) -> str:
    if len(statement) <= _LONGEST_NAME:
        return statement
    found = [statement.find(mark) for mark in (": ", ", such as ", ", so that ")]
    ends = [place for place in found if place > 0]
    return f"{statement[: min(ends)]}." if ends else statement


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
    return size_words(case.smallest, case.effect.unit)


def control_name(case: Case) -> Bilingual:
    """Return the name of a control."""
    return Bilingual(f"control: {case.gloss.en}", f"对照：{case.gloss.zh}")


def needed_words(case: Case) -> Bilingual:
    """Return about how many seeds would decide an open case."""
    return Bilingual(f"needs about {case.seeds_needed} seeds", f"大约需要 {case.seeds_needed} 个种子")


def headline(study: Study) -> Bilingual:
    """Return what batch normalization buys and costs, of the claims that hold, in one sentence."""
    gains, costs = (_of_kind(study, kind, "supported")[:_MOST] for kind in ("gain", "cost"))
    bought = Bilingual(f"buys {_and(gains)}", f"带来{_zh(gains)}") if gains else None
    spent = Bilingual(f"costs {_and(costs)}", f"代价是{_zh(costs)}") if costs else None
    if bought and spent:
        return Bilingual(
            f"Batch normalization {bought.en}; it {spent.en}.", f"批归一化{bought.zh}；{spent.zh}。"
        )
    if bought:
        return Bilingual(f"Batch normalization {bought.en}.", f"批归一化{bought.zh}。")
    if spent:
        rest = _without_gains(study)
        return Bilingual(
            f"Batch normalization {spent.en}{'; ' if rest.en else ''}{rest.en}.",
            f"批归一化的{spent.zh}{'；' if rest.zh else ''}{rest.zh}。",
        )
    return _NO_HEADLINE


def _without_gains(study: Study) -> Bilingual:
    """Return what there is to say of the gains where none of them holds as it was claimed."""
    if _of_kind(study, "gain", "depends"):
        return Bilingual("what it buys depends on the network", "能带来什么，取决于网络")
    if _of_kind(study, "gain", "undecided"):
        return Bilingual("there are not enough data on what it buys", "能带来什么，数据还不足以判定")
    if _of_kind(study, "gain", "not supported"):
        return Bilingual("of what it is said to buy nothing was found", "传说中的好处均未得到证实")
    return Bilingual("", "")


def beside_the_headline(study: Study) -> tuple[Bilingual, ...]:
    """Return a sentence each for what else holds, what depends, what does not hold, and what is undecided."""
    more = [_of_kind(study, kind, "supported")[_MOST:] for kind in ("gain", "cost")]
    found = [
        _sentence(more, ("it also buys {}", "it also costs {}"), ("还带来{}", "代价还有{}")),
        _sentence(
            [_of_kind(study, kind, "depends") for kind in ("gain", "cost")],
            ("it depends on the network whether it buys {}", "it depends whether it costs {}"),
            ("是否带来{}，取决于网络", "是否付出{}的代价，视情况而定"),
        ),
        _sentence(
            [_of_kind(study, kind, "not supported") for kind in ("gain", "cost")],
            ("it does not buy {}", "it does not cost {}"),
            ("并未带来{}", "并不付出{}的代价"),
            last="or",
        ),
    ]
    undecided = [*_of_kind(study, "gain", "undecided"), *_of_kind(study, "cost", "undecided")]
    found.append(_sentence([undecided], ("not enough data on {}",), ("数据不足以判定：{}",)))
    return tuple(sentence for sentence in found if sentence.en)


def _sentence(
    briefs: Sequence[Sequence[Brief]], en: Sequence[str], zh: Sequence[str], *, last: str = "and"
) -> Bilingual:
    """Return a sentence of a clause for each sequence of briefs that is not empty; without any, an empty one."""
    clauses = [
        (one_en.format(_and(some, last)), one_zh.format(_zh(some)))
        for some, one_en, one_zh in zip(briefs, en, zh, strict=True)
        if some
    ]
    if not clauses:
        return Bilingual("", "")
    words = "; ".join(clause for clause, _ in clauses)
    return Bilingual(f"{words[0].upper()}{words[1:]}.", f"{'；'.join(clause for _, clause in clauses)}。")


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


def _and(briefs: Sequence[Brief], last: str = "and") -> str:
    words = _different(brief.words.en for brief in briefs)
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else words[0]


def _zh(briefs: Sequence[Brief]) -> str:
    words = _different(brief.words.zh for brief in briefs)
    return f"{'、'.join(words[:-1])}和{words[-1]}" if len(words) > 1 else words[0]


def _different(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
