"""Figures as SVG: axes, names, gaps and failed runs."""

import dataclasses
import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from normwise.records import Figure, Series
from normwise.report.figures.chart.chart import chart
from normwise.report.figures.chart.labels import Label, spread_out
from normwise.report.figures.chart.scale import Scale, scales
from tests.support.reports import shown_figures


def _figure(*series: Series, **options: bool) -> Figure:
    return Figure("f", "t", "c", "x", "y", series, **options)


def _drawn(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(chart(figure, scales([figure])[0]))


@pytest.mark.parametrize("name", ["curves", "rates", "categories", "many", "depths"])
def test_every_series_is_drawn_and_named(name: str) -> None:
    figure: Figure = getattr(shown_figures, name)()
    root = _drawn(figure)
    names = [node for node in root.iter("text") if (node.get("class") or "").startswith("name")]
    assert len({node.get("class") for node in names}) == len({series.style for series in figure.series})
    assert "nan" not in "".join(node.get("d") or "" for node in root.iter("path"))


def test_gaps_are_gaps_and_lonely_points_are_points() -> None:
    root = _drawn(
        _figure(Series("s", tuple(map(float, range(40))), (*[0.1] * 20, math.nan, 0.5, *[math.nan] * 18)))
    )
    (line,) = [node for node in root.iter("path") if (node.get("class") or "").startswith("line")]
    assert (line.get("d") or "").count("M") == 2
    (points,) = [node for node in root.iter("path") if (node.get("class") or "").startswith("point")]
    assert (points.get("d") or "").count("M") == 1


def test_failed_runs_are_crosses_below_the_axis_and_not_zero() -> None:
    figure = shown_figures.depths()
    text = str(chart(figure, scales([figure])[0]))
    assert text.count("5 diverged") == 2
    assert ">failed<" in text
    assert ">failed<" not in chart(shown_figures.curves(), scales([shown_figures.curves()])[0])
    # The line of those without BN ends where all of them failed.
    (line,) = re.findall(r'class="line s1" stroke-dasharray="[^"]*" d="(M[^"]*)"', text)
    assert line.count("L") == 2


def test_axes_of_one_kind_agree() -> None:
    low = _figure(Series("s", (0.0, 10.0), (0.1, 0.2)), y_percent=True)
    high = _figure(Series("s", (0.0, 90.0), (0.7, 0.9)), y_percent=True)
    other = dataclasses.replace(high, y_label="loss", y_percent=False)
    (x, y), (x_again, y_again), (_, y_other) = scales([low, high, other])
    assert (x, y) == (x_again, y_again)
    assert x.high == 90
    assert y.low < 0.1
    assert y.high > 0.9
    assert y_other.low > 0.6


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (Scale(0.0, 1.0, percent=True), ["0%", "20%", "40%", "60%", "80%", "100%"]),
        (Scale(-0.3, 0.31), ["−0.2", "0", "0.2"]),
        (Scale(0.001, 10.0, log=True), ["0.001", "0.01", "0.1", "1", "10"]),
        (Scale(1.0, 40.0, log=True), ["1", "2", "5", "10", "20"]),
        (Scale(1e-20, 1.0, log=True), ["10⁻²⁰", "10⁻¹⁶", "10⁻¹²", "10⁻⁸", "10⁻⁴", "1"]),
        (Scale(-0.5, 1.5, categories=("a", "b")), ["a", "b"]),
    ],
)
def test_ticks_are_few_and_round(scale: Scale, words: list[str]) -> None:
    assert [word for _, word in scale.ticks()] == words
    assert all(-1e-9 <= place <= 1 + 1e-9 for place, _ in scale.ticks())


@pytest.mark.parametrize(
    "values", [(0.5, 0.5), (1e300, -1e300), (5e-324, 5e-324), (math.nan, math.inf), (0.0, -1.0)]
)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("percent", [False, True])
def test_any_numbers_have_an_axis(values: tuple[float, ...], log: bool, percent: bool) -> None:
    figure = _figure(Series("s", (0.0, 1.0), values), y_log=log, y_percent=percent)
    _, y = scales([figure])[0]
    assert y.low < y.high
    assert _drawn(figure).tag == "svg"


def test_names_do_not_cover_one_another() -> None:
    labels = [Label(f"a name of more than one line {i}", 50.0, i) for i in range(4)]
    placed = spread_out(labels, 20, 200)
    for before, after in pairwise(placed):
        assert after.y - before.y >= 10 * len(before.lines)
    assert placed[-1].y + 10 * (len(placed[-1].lines) - 1) <= 200


def test_long_names_below_the_axis_are_whole_and_stand_steeply() -> None:
    names = ("1 convolution read by the output", "1 convolution and 1 dense layer", "10 dense layers")
    series = (Series("with BN", names, (1.0, 2.0, 3.0)),)
    figure = Figure("f", "title", "caption", "network", "value", series, lines=False)
    text = str(chart(figure, scales([figure])[0]))
    assert text.count("rotate(") == 3
    assert "…" not in text
    short = dataclasses.replace(figure, series=(Series("with BN", ("A", "B"), (1.0, 2.0)),))
    assert "rotate(" not in str(chart(short, scales([short])[0]))


def test_both_languages_are_drawn_where_both_are_known() -> None:
    figure = shown_figures.curves()
    text = str(
        chart(figure, scales([figure])[0], chinese=lambda text: "准确率" if text == figure.y_label else "")
    )
    assert "准确率" in text
    assert 'lang="zh-Hans"' in text
    assert "lang=" not in str(chart(figure, scales([figure])[0]))
