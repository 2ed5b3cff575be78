"""Chinese texts of the doctor's rules: one for each, and those that the Chinese index has."""

import dataclasses
import re
from pathlib import Path

import pytest

from normwise.doctor import all_rules
from normwise.report import examination_page
from normwise.report.chinese.rules import rules
from tests.support.reports import shown_examination
from tests.support.reports.html_reader import Reader

_INDEX = Path(__file__).parents[3] / "docs/zh/doctor/README.md"
_ROW = re.compile(r"^\| \[(BN\d+)\]\([^)]*\) \| ([^|]+?) `[^|]*` \|[^|]*\|[^|]*\| ([^|]+) \|$", re.M)


def test_each_rule_has_its_texts() -> None:
    assert set(rules()) == {rule.code for rule in all_rules()}


def test_the_chinese_index_has_the_same_texts() -> None:
    rows = {code: (name, text) for code, name, text in _ROW.findall(_INDEX.read_text(encoding="utf-8"))}
    assert rows == {code: (words.name, words.found + words.remedy) for code, words in rules().items()}


@pytest.mark.parametrize("code", ["BN101", "BN201", "BN501"])
def test_a_finding_has_its_rules_texts_and_the_english_sentence(code: str) -> None:
    reader = Reader(examination_page(shown_examination.sick()))
    chinese = " ".join("".join(reader.text).split())
    words = rules()[code]
    for text in (words.name, words.found, words.remedy):
        assert text.replace("`", "") in chinese
        assert text.replace("`", "") not in "".join(reader.english)
    assert "原文：The running statistics are not those of the data." in chinese


def test_a_rule_of_others_stays_in_english() -> None:
    found = shown_examination.finding(shown_examination.sick().findings[0].symptoms[0], code="XY901")
    page = examination_page(dataclasses.replace(shown_examination.sick(), findings=(found,), layers=()))
    assert "The running statistics are not those of the data." in "".join(Reader(page).english)
    assert "原文：" not in page
