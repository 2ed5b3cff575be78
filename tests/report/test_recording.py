"""Reports of a recording: rows, figures, text."""

import dataclasses
import math

import pytest

from normwise.records import OverChannels, Recording
from normwise.report import recording_text
from normwise.report.figures.heat_map import heat_map_drawing
from normwise.report.figures.recording_figures import heat_maps, layer_figures
from normwise.report.views.recording_view import (
    factor,
    layer_rows,
    off_by,
    recording_advice,
    recording_header,
    recording_summary,
    recording_verdict,
    shift,
)


def _cells(recording: Recording, number: int) -> dict[str, str]:
    return dict(zip(recording_header(recording), layer_rows(recording)[number], strict=True))


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


def test_the_summary_says_what_was_recorded(recording: Recording, empty: Recording) -> None:
    assert recording_summary(recording) == "5 records of 5 layers, from step 0 to 800."
    assert recording_summary(empty) == "Nothing has been recorded yet of 5 layers."
    first = dataclasses.replace(recording, points=recording.points[:1])
    assert recording_summary(first) == "1 record of 5 layers, at step 0."


def _drifting(recording: Recording, shift: float, variances: float) -> Recording:
    """Return the recording with other distances in all records of its first layer, and no other layer."""

    def over(value: float) -> OverChannels:
        return OverChannels(-value, 0.0, value, value)

    points = tuple(
        dataclasses.replace(
            point,
            layers={
                "stem": dataclasses.replace(
                    point.layers["stem"], shift=over(shift), log_ratio=over(math.log(variances))
                )
            },
        )
        for point in recording.points
    )
    return dataclasses.replace(recording, points=points, layers=recording.layers[:1])


@pytest.mark.parametrize(
    ("shift", "variances", "verdict", "advice"),
    [
        (
            0.05,
            1.05,
            "Running statistics follow the batches in 1 layer (the most off: stem, by 0.0490 σ).",
            "",
        ),
        (
            0.3,
            1.0,
            "Running statistics are somewhat off in 1 of 1 layer (worst: stem, by 0.300 σ).",
            "calibrate first",
        ),
        (
            2.0,
            1.0,
            "Running statistics are far from the batches in 1 of 1 layer (worst: stem, by 2.00 σ).",
            "diagnose",
        ),
        (
            0.0,
            16.0,
            "Running statistics are far from the batches in 1 of 1 layer (worst: stem, by 1.39 σ).",
            "diagnose",
        ),
    ],
)
def test_the_verdict_is_of_what_the_noise_does_not_explain(
    recording: Recording, shift: float, variances: float, verdict: str, advice: str
) -> None:
    drifting = _drifting(recording, shift, variances)
    assert recording_verdict(drifting) == verdict
    assert advice in recording_advice(drifting)
    assert bool(recording_advice(drifting)) == bool(advice)


def test_the_verdict_of_little(recording: Recording, empty: Recording) -> None:
    assert recording_verdict(empty) == "Nothing has been recorded yet."
    first = dataclasses.replace(recording, points=recording.points[:1])
    assert recording_verdict(first).startswith("No layer has running statistics that have learnt from data")
    assert recording_advice(first) == ""


def test_a_frozen_layer_does_not_drift(recording: Recording) -> None:
    assert math.isnan(off_by(recording, "frozen.norm"))
    assert _cells(recording, 2)["Verdict"] == "–"


def test_a_row_has_the_last_record_and_the_worst(recording: Recording) -> None:
    assert _cells(recording, 0) == {
        "Layer": "stem",
        "Verdict": "poor",
        "Off by": "0.395",
        "Shift, last": "0.118",
        "Shift, worst": "0.400 (step 200)",  # and not that of step 0, before which nothing had been learnt
        "Noise": "0.0100",
        "Variances, last": "2.00",
        "Variances, worst": "2.00 (step 800)",
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


def test_without_remarks_there_is_no_column_for_them(recording: Recording) -> None:
    assert "Remark" not in recording_header(_drifting(recording, 0.1, 1.0))


def test_statistics_of_a_new_layer_are_no_drift(recording: Recording) -> None:
    new, learnt = (point.layers["stem"] for point in recording.points[:2])
    assert math.isnan(shift(new))
    assert math.isnan(factor(new))
    assert learnt.shift is not None
    assert (shift(learnt), factor(learnt)) == (learnt.shift.rms, pytest.approx(2))


def test_heat_maps_have_a_row_for_each_layer_and_a_column_for_each_record(recording: Recording) -> None:
    maps = {one.name: one for one in heat_maps(recording)}
    assert list(maps) == [
        "drift", "shift", "variances", "noise", "output-gradient", "weight-gradient", "weight",
    ]  # fmt: skip
    for one in maps.values():
        assert one.x == (0, 200, 400, 600, 800)
        assert [row == "the model" or row for row in one.rows] == [layer.path for layer in recording.layers]
    stem, *_, unused = maps["shift"].values
    assert math.isnan(stem[0])
    assert stem[1:] == tuple(shift(point.layers["stem"]) for point in recording.points[1:])
    assert all(map(math.isnan, unused))


def test_maps_of_distances_have_the_same_scale_whatever_was_recorded(recording: Recording) -> None:
    healthy, broken = (
        {one.name: heat_map_drawing(one)["traces"][0] for one in heat_maps(_drifting(recording, shift, 1.1))}
        for shift in (0.1, 3.0)
    )
    for name in ("drift", "shift", "variances", "noise", "weight"):
        assert (healthy[name]["zmin"], healthy[name]["zmax"]) == (broken[name]["zmin"], broken[name]["zmax"])


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
        "What the units after it get",
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
    assert "0.395" in text
    assert "Interval   200 steps" in text
    assert "Layers     5 (BatchNorm2d, FrozenBatchNorm2d, LazyBatchNorm1d)" in text


def test_text_of_nothing(empty: Recording) -> None:
    assert "Nothing has been recorded yet of 5 layers." in recording_text(empty)
