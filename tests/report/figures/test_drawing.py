import dataclasses
import json
import math

from normwise.records import Figure, Series
from normwise.report.figures.drawing import DASHES, MARKERS, drawing

NAN = math.nan


def _figure(*series: Series, **options: bool) -> Figure:
    return dataclasses.replace(Figure("f", "A figure", "", "x", "y", series), **options)


def test_what_cannot_be_drawn_is_a_gap() -> None:
    series = Series("a", (0.0, 1.0, 2.0, 3.0), (1.0, -1.0, NAN, 4.0))
    (linear,) = drawing(_figure(series))["traces"]
    assert linear["y"] == [1.0, -1.0, None, 4.0]
    (log,) = drawing(_figure(series, x_log=True, y_log=True))["traces"]
    assert log["x"] == [None, 1.0, 2.0, 3.0]
    assert log["y"] == [None, None, None, 4.0]


def test_a_band_is_one_polygon_for_each_stretch() -> None:
    x = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    y = (1.0, 1.0, NAN, 1.0, NAN, 1.0)
    band, _ = drawing(_figure(Series("a", x, y, tuple(v - 0.5 for v in y), tuple(v + 0.5 for v in y))))[
        "traces"
    ]
    # The points at 3 and 5 stand alone: a polygon of one point would be a stray stroke.
    assert band["x"] == [0.0, 1.0, 1.0, 0.0, None]
    assert band["y"] == [0.5, 0.5, 1.5, 1.5, None]


def test_a_band_has_a_gap_where_a_logarithm_has_none() -> None:
    series = Series("a", (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), (0.5, 0.5, -0.5), (2.0, 2.0, 2.0))
    band, line = drawing(_figure(series, y_log=True))["traces"]
    assert band["x"] == [1.0, 2.0, 2.0, 1.0, None]
    assert line["y"] == [1.0, 1.0, 1.0]


def test_bands_come_before_lines_and_go_with_them() -> None:
    series = [Series(str(i), (1.0, 2.0), (1.0, 1.0), (0.0, 0.0), (2.0, 2.0), style=i) for i in range(2)]
    traces = drawing(_figure(*series))["traces"]
    assert [trace["meta"]["role"] for trace in traces] == ["band", "band", "series", "series"]
    assert [trace["legendgroup"] for trace in traces] == ["0", "1", "0", "1"]


def test_error_bars_are_lengths() -> None:
    series = Series("a", (1.0, 2.0), (1.0, NAN), (0.75, NAN), (1.5, NAN))
    (trace,) = drawing(_figure(series, lines=False))["traces"]
    assert trace["error_y"]["array"] == [0.5, None]
    assert trace["error_y"]["arrayminus"] == [0.25, None]
    assert trace["mode"] == "markers"


def test_a_style_looks_the_same_everywhere_and_unlike_any_other() -> None:
    looks = set()
    for style in range(8):
        (trace,) = drawing(_figure(Series("a", (1.0, 2.0), (1.0, 2.0), style=style)))["traces"]
        looks |= {trace["line"]["dash"], trace["marker"]["symbol"]}
    assert looks == {*DASHES, *MARKERS}
    assert len(looks) == 16


def test_points_of_one_category_stand_side_by_side() -> None:
    a, b = Series("a", ("p", "q"), (1.0, 2.0)), Series("b", ("p", "q"), (1.0, 2.0))
    first, second = drawing(_figure(a, b, lines=False))["traces"]
    assert all(left < right for left, right in zip(first["x"], second["x"], strict=True))
    joined = drawing(_figure(a, b))["traces"]
    assert [trace["x"] for trace in joined] == [[0, 1], [0, 1]]


def test_many_categories_stand_upright_and_few_are_wrapped() -> None:
    def axis(count: int):
        names = tuple(f"a rather long name, {i}" for i in range(count))
        return drawing(_figure(Series("a", names, (1.0,) * count)))["layout"]["xaxis"]

    assert axis(3)["ticktext"][0] == "a rather long<br>name, 0"
    assert "tickangle" not in axis(3)
    assert axis(14)["ticktext"][0] == "a rather long name, 0"
    assert axis(14)["tickangle"] == -90


def test_a_point_between_gaps_has_a_marker_and_a_bar() -> None:
    x, y = (1.0, 2.0, 3.0, 4.0), (1.0, 2.0, NAN, 3.0)
    _, alone = drawing(_figure(Series("a", x, y, (0.5, 1.5, NAN, 2.5), (1.5, 2.5, NAN, 3.5))))["traces"]
    assert "maxdisplayed" not in alone["marker"]
    assert alone["error_y"]["array"] == [None, None, None, 0.5]
    (joined,) = drawing(_figure(Series("a", (1.0, 2.0, 3.0), (1.0, 2.0, 3.0))))["traces"]
    assert joined["marker"]["maxdisplayed"] > 0


def test_logarithmic_ticks_name_whole_numbers() -> None:
    narrow = drawing(_figure(Series("a", (2.0, 32.0), (1.0, 1.0)), x_log=True))["layout"]["xaxis"]
    assert {2.0, 5.0, 10.0, 20.0} <= set(narrow["tickvals"])
    wide = drawing(_figure(Series("a", (1e-12, 1e12), (1.0, 1.0)), x_log=True))["layout"]["xaxis"]
    assert wide["dtick"] == 3
    empty = drawing(_figure(Series("a", (0.0,), (1.0,)), x_log=True))["layout"]["xaxis"]
    assert empty["type"] == "log"


def test_labels_are_text_to_plotly() -> None:
    label = "<b>&lt; %{x}"
    figure = Figure("f", "t", "", label, label, (Series(label, (label,), (1.0,)),), lines=False)
    text = json.dumps(drawing(figure))
    assert "<b>" not in text
    assert "&amp;lt;" in text
