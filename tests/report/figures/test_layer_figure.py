"""Figures of layers: a scale that is the same for all models, names that fit."""

import dataclasses
import math

import pytest

from normwise.doctor.facts.passes import running_statistics
from normwise.records import Examination, Figure, Series
from normwise.report.figures.examination_figures import FINE_ERROR, examination_figures, measured_layers
from normwise.report.figures.layer_figure import LayerFigure, layer_drawing
from tests.support.reports import shown_examination


def _shown(values: tuple[float, ...], fine: float = FINE_ERROR) -> LayerFigure:
    names = tuple(f"encoder.layers.{i}.attention.norm" for i in range(len(values)))
    figure = Figure(
        "f", "t", "c", "layer", "error", (Series("error", names, values),), y_log=True, lines=False
    )
    return LayerFigure(figure, 0.01, 100, "σ", fine)


def test_the_scale_does_not_follow_the_values() -> None:
    small, large = (layer_drawing(_shown((value,)))["layout"]["yaxis"] for value in (0.02, 50))
    assert small == large
    assert small["range"][0] < -2
    assert small["range"][1] > 2
    assert small["ticktext"] == ["0.01", "0.1", "1", "10", "100"]


def test_a_value_beyond_the_scale_is_drawn_at_its_end_and_told_as_it_is() -> None:
    *_, trace = layer_drawing(_shown((0.0, 1e4, math.inf, math.nan, 1.0)))["traces"]
    assert trace["y"] == [0.01, 100, 100, None, 1.0]
    told = [text.split(": ")[1] for text in trace["text"]]
    assert told == ["0 σ", "10000 σ", "∞ σ", "– σ", "1.00 σ"]


def test_the_band_of_healthy_layers_ends_where_the_rules_begin() -> None:
    band = layer_drawing(_shown((1.0,)))["traces"][0]
    assert band["meta"]["role"] == "fine"
    assert max(band["y"]) == FINE_ERROR == running_statistics.FINE
    assert band["name"] == "fine: up to 0.15 σ"
    assert [t["meta"]["role"] for t in layer_drawing(_shown((1.0,), math.nan))["traces"]] == ["series"]


def test_few_layers_have_names_and_many_have_numbers() -> None:
    few = layer_drawing(_shown((1.0,) * 24))["layout"]
    assert few["xaxis"]["ticktext"][3] == "…rs.3.attention.norm"
    assert "annotations" not in few
    many = layer_drawing(_shown((1.0,) * 500))["layout"]["xaxis"]
    assert many["ticktext"] == ["1", *(str(50 * i) for i in range(1, 11))]


def test_the_worst_of_many_layers_are_named_as_far_as_there_is_room() -> None:
    values = [0.1] * 100
    values[10], values[11], values[90] = 5.0, 4.0, 1e5
    notes = layer_drawing(_shown(tuple(values)))["layout"]["annotations"]
    assert [note["text"][-20:] for note in notes] == [
        "…s.90.attention.norm",
        "…s.10.attention.norm",
    ]
    assert [note["x"] for note in notes] == [90, 10]
    assert notes[0]["y"] == 2  # the logarithm of the end of the scale
    assert not layer_drawing(_shown((0.1,) * 100))["layout"]["annotations"]


@pytest.fixture
def sick() -> Examination:
    return shown_examination.sick()


def test_layers_come_in_the_order_of_their_calls(sick: Examination) -> None:
    assert [layer.depth for layer in measured_layers(sick)] == [0, 1, 2]
    first = examination_figures(sick)[0].figure.series[0]
    assert first.x == ("stem.norm", shown_examination.HOSTILE, "head.norm")


def test_each_idea_is_one_figure(sick: Examination) -> None:
    names = [shown.figure.name for shown in examination_figures(sick)]
    assert names == ["statistics", "noise", "flow", "dead"]
    assert [one.figure.name for one in examination_figures(shown_examination.healthy())] == names[:3]
    assert examination_figures(shown_examination.of_model()) == ()


def test_each_layer_has_its_marker() -> None:
    for examination, size in ((shown_examination.healthy(), 8), (shown_examination.large(), 2)):
        *_, flow = examination_figures(examination)
        for trace in layer_drawing(flow)["traces"]:
            assert "maxdisplayed" not in trace["marker"]
            assert trace["marker"]["size"] == size


def test_before_and_after_are_two_series() -> None:
    treatment = shown_examination.treatment()
    statistics, *_ = examination_figures(treatment.before, treatment.after)
    assert [series.label for series in statistics.figure.series] == ["before", "after"]
    assert max(statistics.figure.series[1].y) < FINE_ERROR


def test_a_signal_that_explodes_stays_within_the_scale(sick: Examination) -> None:
    flow = examination_figures(sick)[2]
    assert (flow.low, flow.high) == (1e-3, 1e3)
    exploding = dataclasses.replace(
        sick,
        layers=(dataclasses.replace(sick.layers[0], input_deviation=3e7), *sick.layers[1:]),
    )
    assert examination_figures(exploding)[2].high == 1e8
