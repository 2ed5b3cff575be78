"""The chart of the README is that of the measured tables."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from website.chart import chart, healed_models, layer_speeds

_CHART = Path(__file__).parents[3] / "docs/pictures/chart.svg"


def test_it_is_up_to_date() -> None:
    assert _CHART.read_text(encoding="utf-8") == chart(), f"python -m website.chart {_CHART}"


def test_each_row_of_the_tables_is_drawn() -> None:
    drawing = ElementTree.fromstring(chart())
    marks = [element.get("class") for element in drawing.iter()]
    assert marks.count("sick") == marks.count("healed") == len(healed_models()) >= 16
    assert marks.count("bar") == len(layer_speeds()) >= 14
