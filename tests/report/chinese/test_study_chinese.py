"""Words of figures in Chinese."""

import pytest

from normwise.records import Bilingual, Study
from normwise.report.chinese.chinese import Chinese
from normwise.report.chinese.study_chinese import chinese_of_study
from normwise.report.chinese.words.study_words import STUDY
from tests.support.reports.made_claim import case, claim


@pytest.fixture
def chinese(study: Study) -> Chinese:
    gloss = Bilingual("3 sigmoid layers (plain SGD)", "3 层 sigmoid（普通 SGD）")
    made = claim("c", "training", ("c", "c"), "supported", [case("shown", (2.0, 1.5, 3.0), gloss=gloss)])
    return chinese_of_study(type(study)(**{**vars(study), "findings": (made,)}))


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("test accuracy", "测试准确率"),
        ("3 sigmoid layers (plain SGD): test accuracy while training",
         "3 层 sigmoid（普通 SGD）：训练过程中的测试准确率"),
        ("with BN, learning rate 0.3", "用 BN，学习率 0.3"),
        ("BN without γ and β, rate 1", "BN 无 γ 和 β，学习率 1"),
        ("BN over 16", "BN，一起归一化 16"),
        ("32×32", "32×32"),
        ("Chance is 20%. Mean over seeds; the band spans all seeds.",
         "随机猜测为 20%。各种子的平均；色带涵盖所有种子。"),
        ("test accuracy: something new", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_text_is_put_together_from_its_parts_or_left_out(
    chinese: Chinese, english: str, expected: str
) -> None:
    assert chinese(english) == expected


def test_nothing_is_left_empty() -> None:
    assert all(english and zh for english, zh in STUDY.items())
