"""The chart of the README is that of the measured tables."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from website.chart import chart, healed_models, layer_speeds
from website.chart_words import CHINESE, ENGLISH, Words

_PICTURES = Path(__file__).parents[3] / "docs/pictures"
_LANGUAGES = pytest.mark.parametrize("words", [ENGLISH, CHINESE], ids=["English", "Chinese"])


@_LANGUAGES
def test_it_is_up_to_date(words: Words) -> None:
    drawn = (_PICTURES / words.file).read_text(encoding="utf-8")
    assert drawn == chart(words), f"python -m website.chart {_PICTURES}"


@_LANGUAGES
def test_each_row_of_the_tables_is_drawn(words: Words) -> None:
    drawing = ElementTree.fromstring(chart(words))
    marks = [element.get("class") for element in drawing.iter()]
    assert marks.count("sick") == marks.count("healed") == len(healed_models()) >= 16
    assert marks.count("bar") == len(layer_speeds()) >= 14


def test_no_set_up_is_named_that_is_not_drawn() -> None:
    assert set(ENGLISH.causes) == set(CHINESE.causes) == {row.cause for row in healed_models()}
