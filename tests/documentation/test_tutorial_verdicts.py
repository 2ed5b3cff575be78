"""The pages about the five tutorials have the verdicts of the study, in both languages alike."""

from pathlib import Path

import pytest

from tests.documentation.guides import translations
from tests.documentation.tutorial_verdicts import (
    CHINESE,
    COMMAND,
    ENGLISH,
    Finding,
    Page,
    filled,
    findings,
    in_chinese,
    statements,
)

_EVIDENCE = (translations.ROOT / "docs/evidence.md").read_text(encoding="utf-8")
_FOUND = findings(_EVIDENCE)
_PAGES = pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["English", "Chinese"])
_SMALL = """\
| tutorial | statements | right | half right | wrong | not decided |
|---|---|---|---|---|---|
| [000 A](#000-a) | 9 | 9 | 9 | 9 | 9 |
| **All** | |

## 000 A

| where | what it says | verdict | evidence |
|---|---|---|---|
| 1 | ε is below 0. | wrong | *Never*. |
| 2 | BN is fast. | [right](evidence.md#fast) | Steps: *…*. |
"""


def _page(words: str = "right, half right, wrong, not decided") -> Page:
    return Page(Path("page.md"), Path("page.svg"), tuple(words.split(", ")), str)


@_PAGES
def test_a_page_has_the_verdicts_of_the_study(page: Page) -> None:
    text = page.path.read_text(encoding="utf-8")
    assert text == filled(text, page, _FOUND), f"{COMMAND} fills it in anew"


def test_both_languages_have_the_same_statements_and_verdicts() -> None:
    english, chinese = (
        [
            (one.tutorial, page.words.index(one.verdict) if one.verdict in page.words else one.verdict)
            for one in statements(page.path.read_text(encoding="utf-8"))
        ]
        for page in (ENGLISH, CHINESE)
    )
    assert english == chinese


@pytest.mark.parametrize("name", [name for name, finding in _FOUND.items() if finding.said])
def test_a_claim_stands_with_each_tutorial_that_makes_it(name: str) -> None:
    rows = list(statements(ENGLISH.path.read_text(encoding="utf-8")))
    linking = {one.tutorial for one in rows if f"evidence.md#{name})" in one.row}
    assert set(_FOUND[name].said) <= linking


def test_all_claims_of_the_study_are_read() -> None:
    assert len(_FOUND) == _EVIDENCE.count('<a id="')


def test_a_verdict_and_a_measurement_are_filled_in_and_rows_counted() -> None:
    text = filled(_SMALL, _page(), {"fast": Finding(("000",), "depends", "2 to 3 times")})
    assert "| 2 | BN is fast. | [half right](evidence.md#fast) | Steps: *2 to 3 times*. |" in text
    assert "| wrong | *Never*. |" in text  # written by hand
    assert "| [000 A](#000-a) | 2 | 0 | 1 | 1 | 0 |" in text
    assert "| **All** | 2 | 0 | 1 | 1 | 0 |" in text


def test_a_verdict_needs_a_claim_of_the_study_or_a_word_that_is_known() -> None:
    with pytest.raises(ValueError, match=r"docs/evidence.md has no claim 'fast': BN is fast"):
        filled(_SMALL, _page(), {})
    with pytest.raises(ValueError, match=r"'wrong' is none of 对, 半对, 错, 未定: ε is below 0"):
        filled(_SMALL, _page("对, 半对, 错, 未定"), {})


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("1.1 to over 1,000 trillion times", "1.1 至 1000 万亿倍以上"),
        ("−0.2 points (−0.7 to +0.5)", "−0.2 个百分点（−0.7 至 +0.5）"),
        ("at least 0.98 times (0.61 or more)", "至少 0.98 倍（0.61 或更大）"),
        ("0.28 to 3.8% of the samples", "0.28 至 3.8% 的样本"),
        ("2.5 million times; about the same", "2.5 百万倍；大致相同"),
    ],
)
def test_a_measurement_has_its_chinese(english: str, chinese: str) -> None:
    assert in_chinese(english) == chinese


def test_a_measurement_with_an_unknown_word_is_refused() -> None:
    with pytest.raises(ValueError, match="'3 apples' has a word that has no Chinese"):
        in_chinese("3 apples")
