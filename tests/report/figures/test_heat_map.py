"""A heat map as what Plotly draws, and as a table."""

import math

import pytest

from normwise.records import HeatMap
from normwise.report.figures.heat_map import heat_map_drawing, heat_map_height, heat_map_table


def _map(*rows: tuple[float, ...], log: bool = True, name: str = "layer") -> HeatMap:
    return HeatMap(
        name="map",
        title="A map",
        caption="Nothing.",
        x_label="step",
        row_label="layer",
        value_label="shift",
        x=tuple(100.0 * i for i in range(len(rows[0]))),
        rows=tuple(f"{name}.{i}" for i in range(len(rows))),
        values=rows,
        log=log,
    )


def test_equal_steps_of_colour_are_equal_ratios() -> None:
    (trace,) = heat_map_drawing(_map((0.01, 1.0), (100.0, 10.0)))["traces"]
    assert trace["z"] == [[-2, 0], [2, 1]]
    assert (trace["zmin"], trace["zmax"]) == (-2, 2)
    assert dict(zip(trace["colorbar"]["tickvals"], trace["colorbar"]["ticktext"], strict=True)) == {
        -2: "0.01", -1: "0.1", 0: "1", 1: "10", 2: "100",
    }  # fmt: skip


def test_a_linear_scale_is_linear() -> None:
    (trace,) = heat_map_drawing(_map((0.0, 3.0), log=False))["traces"]
    assert trace["z"] == [[0, 3]]
    assert trace["colorbar"]["ticktext"] == ["0", "1", "2", "3"]


def test_gaps_are_gaps_and_zero_is_the_least() -> None:
    (trace,) = heat_map_drawing(_map((math.nan, 0.0, math.inf), (0.1, 1.0, 10.0)))["traces"]
    assert trace["z"][0] == [None, -1, None]
    assert trace["text"][0][1] == "layer.0<br>step 100: 0"


@pytest.mark.parametrize("values", [(0.0, 0.0), (2.0, 2.0), (math.nan, math.nan)], ids=str)
def test_a_single_value_has_a_scale(values: tuple[float, ...]) -> None:
    (trace,) = heat_map_drawing(_map(values))["traces"]
    assert trace["zmin"] < trace["zmax"]
    assert all(trace["zmin"] <= tick <= trace["zmax"] for tick in trace["colorbar"]["tickvals"])


@pytest.mark.parametrize(("least", "greatest"), [(1.001, 1.002), (0.9, 1.4), (1.0, 1000.0), (1e-12, 1e12)])
def test_any_range_has_a_few_ticks(least: float, greatest: float) -> None:
    (trace,) = heat_map_drawing(_map((least, greatest)))["traces"]
    ticks = trace["colorbar"]["tickvals"]
    assert 3 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))


def test_names_are_text_and_their_end_is_what_is_kept() -> None:
    drawn = heat_map_drawing(_map((1.0, 2.0), name="a.very.long.path.that.leads.to<b>some"))
    assert drawn["layout"]["yaxis"]["ticktext"] == ["….that.leads.to&lt;b&gt;some.0"]
    assert drawn["traces"][0]["text"][0][0].startswith("a.very.long.path.that.leads.to&lt;b&gt;some.0<br>")


def test_first_row_is_on_top_and_many_rows_are_not_all_named() -> None:
    drawn = heat_map_drawing(_map(*[(1.0, 2.0)] * 150))
    axis = drawn["layout"]["yaxis"]
    assert axis["range"] == [149.5, -0.5]
    assert axis["tickvals"] == list(range(0, 150, 3))


def test_rows_give_the_height_up_to_a_bound() -> None:
    heights = [heat_map_height(_map(*[(1.0,)] * rows)) for rows in (1, 20, 500)]
    assert heights == sorted(heights)
    assert heights[-1] == 60


def test_the_table_is_thinned() -> None:
    table = heat_map_table(_map(tuple(map(float, range(1, 101))), (math.nan,) * 100), most=3)
    assert table.header == ("layer", "step 0", "step 5000", "step 9900")
    assert table.rows == (("layer.0", "1.00", "51.0", "100"), ("layer.1", "–", "–", "–"))
    assert table.positions == 100
