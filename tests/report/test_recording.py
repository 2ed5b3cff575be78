"""What reports say of a recording: its rows, its figures, its text."""

import dataclasses
import math

import pytest

from normwise.records import Recording
from normwise.report import recording_text
from normwise.report.figures.recording_figures import heat_maps, layer_figures
from normwise.report.views.recording_view import (
    RECORDING_HEADER,
    factor,
    layer_rows,
    recording_summary,
    shift,
)


def _cells(recording: Recording, number: int) -> dict[str, str]:
    return dict(zip(RECORDING_HEADER, layer_rows(recording)[number], strict=True))


@pytest.fixture
def empty(recording: Recording) -> Recording:
    return dataclasses.replace(recording, points=())


@pytest.fixture
def long(recording: Recording) -> Recording:
    """A thousand records."""
    last = recording.points[-1]
    return dataclasses.replace(
        recording, points=tuple(dataclasses.replace(last, step=i) for i in range(1000))
    )


def test_the_summary_names_the_layer_that_drifts_the_most(recording: Recording) -> None:
    assert recording_summary(recording) == (
        "5 records of 5 layers, from step 0 to 800. In the last one frozen.norm drifted the most: the batch's mean lay "
        "0.400 σ from the running mean, where the noise of a batch is 0.0100 σ."
    )


def test_the_summary_of_little(recording: Recording, empty: Recording) -> None:
    assert recording_summary(empty) == "Nothing has been recorded yet of 5 layers."
    first = dataclasses.replace(recording, points=recording.points[:1])
    assert recording_summary(first) == (
        "1 record of 5 layers, at step 0. In the last one no layer had running statistics that had learnt from data."
    )


def test_a_row_has_the_last_record_and_the_worst(recording: Recording) -> None:
    assert _cells(recording, 0) == {
        "Layer": "stem",
        "Shift, last": "0.118",
        "Shift, worst": "0.400 (step 200)",  # and not that of step 0, before which nothing had been learnt
        "Noise": "0.0100",
        "Shift over noise": "11.8",
        "Variances, last": "2.00",
        "Variances, worst": "2.00 (step 800)",
        "Noise of variance": "0.0500",
        "Remark": "",
    }


def test_what_is_unusual_is_remarked(recording: Recording) -> None:
    assert [_cells(recording, i)["Remark"] for i in range(5)] == [
        "",
        "called 3 times a step",
        "normalises by running statistics",
        "has no running statistics",
        "never called",
    ]
    assert _cells(recording, 3)["Shift, worst"] == "–"
    assert _cells(recording, 4)["Noise"] == "–"


def test_statistics_of_a_new_layer_are_no_drift(recording: Recording) -> None:
    new, learnt = (point.layers["stem"] for point in recording.points[:2])
    assert math.isnan(shift(new))
    assert math.isnan(factor(new))
    assert learnt.shift is not None
    assert (shift(learnt), factor(learnt)) == (learnt.shift.rms, pytest.approx(2))


def test_heat_maps_have_a_row_for_each_layer_and_a_column_for_each_record(recording: Recording) -> None:
    maps = {one.name: one for one in heat_maps(recording)}
    assert list(maps) == ["shift", "variances", "noise", "output-gradient", "weight-gradient", "weight"]
    for one in maps.values():
        assert one.x == (0, 200, 400, 600, 800)
        assert [row == "the model" or row for row in one.rows] == [layer.path for layer in recording.layers]
    stem, *_, unused = maps["shift"].values
    assert math.isnan(stem[0])
    assert stem[1:] == tuple(shift(point.layers["stem"]) for point in recording.points[1:])
    assert all(map(math.isnan, unused))


def test_a_map_of_nothing_is_left_out(recording: Recording, empty: Recording) -> None:
    assert heat_maps(empty) == ()
    first = dataclasses.replace(recording, points=recording.points[:1])
    assert [one.name for one in heat_maps(first)] == ["noise", "weight-gradient", "weight"]


def test_each_layer_that_was_called_has_its_figures(recording: Recording) -> None:
    layers = layer_figures(recording)
    assert [layer.path for layer in layers] == [layer.path for layer in recording.layers[:4]]
    assert layers[0].said.startswith("BatchNorm2d, 16 channels, shift 0.118 σ")
    assert layers[3].said.startswith("LazyBatchNorm1d, shift – σ")
    titles = [figure.title for figure in layers[0].figures]
    assert titles == [
        "Shift and noise",
        "What the layer gets",
        "What the units behind it get",
        "γ and β",
        "Gradients",
    ]
    # What nothing is known of is no line and no figure.
    assert [figure.title for figure in layers[3].figures] == ["Shift and noise", "Gradients"]
    assert [series.label for series in layers[3].figures[0].series] == ["noise of the batch's mean"]
    names = [figure.name for layer in layers for figure in layer.figures]
    assert len(names) == len(set(names))


def test_percentiles_are_a_line_and_its_band_a_unit(recording: Recording) -> None:
    drawn = layer_figures(recording)[0].figures[1]
    first, second = drawn.series
    assert (first.label, second.label) == ("channel 0", "channel 5")
    assert (first.x[1], first.low[1], first.y[1], first.high[1]) == (200, -1, 0, 3)


def test_many_records_are_thinned_and_that_is_said(long: Recording) -> None:
    drawn = heat_maps(long)[0]
    assert len(drawn.x) == 200
    assert (drawn.x[0], drawn.x[-1]) == (0, 999)
    assert "200 of 1000 records, evenly chosen." in drawn.caption
    assert max(len(series.x) for series in layer_figures(long)[0].figures[0].series) == 60


def test_text_fits_a_terminal(recording: Recording) -> None:
    text = recording_text(recording)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "stem" in text
    assert "11.8" in text
    assert "Interval   200 steps" in text
    assert "Layers     5 (BatchNorm2d, FrozenBatchNorm2d, LazyBatchNorm1d)" in text


def test_text_of_nothing(empty: Recording) -> None:
    assert "Nothing has been recorded yet of 5 layers." in recording_text(empty)
