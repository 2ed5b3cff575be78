"""The report of a calibration says first how bad the old statistics were, then where."""

import math
import re

import pytest
import torch
from torch import nn

import normwise
from normwise.records import Calibration, LayerCalibration, from_plain, to_plain


def _report(*errors: float, **arguments: object) -> Calibration:
    layers = tuple(
        LayerCalibration(f"blocks.{i}.bn", "BatchNorm2d", True, "", 640, 2 * e, e, 0.5, 2.0, e)
        for i, e in enumerate(errors)
    )
    return Calibration(layers, "evaluation", "population", 3, 2, **arguments)  # pyright: ignore[reportArgumentType]


def _left(path: str, reason: str) -> LayerCalibration:
    return LayerCalibration(path, "BatchNorm2d", False, reason)


@pytest.mark.parametrize(
    ("errors", "headline"),
    [
        ((0.05, 0.1), "running statistics were fine in 2 of 2 layers; replaced in 2"),
        (
            (0.05, 0.2, 0.3),
            "running statistics were somewhat off in 2 of 3 layers (worst: blocks.2.bn); replaced in 3",
        ),
        (
            (0.5, 0.2, 7.0, 0.0),
            "running statistics were far from the data's in 2 of 4 layers (worst: blocks.2.bn); replaced in 4",
        ),
    ],
)
def test_the_judgement_stands_first(errors: tuple[float, ...], headline: str) -> None:
    assert str(_report(*errors)).splitlines()[0] == headline


def test_layers_stand_worst_first_and_each_has_a_judgement() -> None:
    lines = str(_report(0.02, 3.0, 0.2)).splitlines()
    assert [line.rsplit(" (", 1)[0] for line in lines[1:4]] == [
        "  blocks.1.bn (BatchNorm2d): bad, off by 3 σ",
        "  blocks.2.bn (BatchNorm2d): poor, off by 0.2 σ",
        "  blocks.0.bn (BatchNorm2d): fine, off by 0.02 σ",
    ]
    assert lines[1].endswith("(means up to 6 σ, variances 0.5 to 2 times)")


def test_of_many_layers_the_worst_ten_are_shown_and_the_others_counted() -> None:
    text = str(_report(*(i / 10 for i in range(25))))
    assert re.findall(r"blocks\.(\d+)\.bn \(", text) == [str(i) for i in range(24, 14, -1)]
    assert "  and 15 other layers, none off by more than 1.4 σ\n" in text


def test_thresholds_are_said() -> None:
    text = " ".join(str(_report(1.0)).split())
    assert "Up to 0.1 σ is fine" in text
    assert "0.5 σ or more is bad" in text


def test_no_line_is_longer_than_100() -> None:
    layers = (
        *_report(*range(30)).layers,
        LayerCalibration("a." * 20 + "bn", "BatchNorm2d", True, "", 4, broken="NaN in 3 of 64 channels"),
        _left("b." * 20 + "bn", "it keeps no running statistics (track_running_stats=False), " * 2),
    )
    text = str(Calibration(layers, "evaluation", "population", 3, 2, 1e-4, ("labels",) * 20, True))
    assert max(map(len, text.splitlines())) <= 100


def test_layers_that_were_left_stand_last_with_the_reason() -> None:
    layers = (_left("first", "it is frozen"), *_report(0.3).layers)
    lines = str(Calibration(layers, "evaluation", "population", 1, 1)).splitlines()
    assert lines[0].endswith("somewhat off in 1 of 2 layers (worst: blocks.0.bn); replaced in 1")
    assert lines[2] == "  first (BatchNorm2d): left as it is, it is frozen"
    assert lines[-1] == "1 pass over 1 batch"


def test_that_nothing_was_calibrated_is_said() -> None:
    report = Calibration((_left("a", "it is frozen"),) * 12, "evaluation", "population", 0, 0)
    lines = str(report).splitlines()
    assert lines[0] == "nothing was calibrated: 12 layers left as they are"
    assert lines[11] == "  and 2 other layers left as they are"


def test_keys_that_were_left_out_and_data_that_varied_are_said() -> None:
    text = " ".join(str(_report(0.0, dropped=("labels", "ids"), varied=True)).split())
    assert "forward has no argument for these keys, left out: labels, ids" in text
    assert "the data gave other batches in each pass" in text
    assert "data" not in str(_report(0.0)).split("\n", 1)[1]


def test_names_do_not_reach_the_terminal_as_escapes() -> None:
    layer = LayerCalibration("a\x1b]0;owned\x07", "BatchNorm2d", True, error=1.0)
    assert "\x1b" not in str(Calibration((layer,), "evaluation", "population", 1, 1))


def test_records_of_the_first_version_are_read_and_shown() -> None:
    plain = to_plain(_report(0.3, 0.4))
    for layer in plain["layers"]:
        del layer["error"], layer["broken"]
    del plain["dropped"], plain["varied"]
    report = from_plain(Calibration, plain)
    assert [layer.verdict for layer in report.layers] == [None, None]
    assert str(report).splitlines()[:2] == [
        "replaced in 2 layers",
        "  blocks.0.bn (BatchNorm2d): replaced (means up to 0.6 σ, variances 0.5 to 2 times)",
    ]


def test_a_record_is_written_and_read() -> None:
    report = _report(0.3, dropped=("labels",), varied=True)
    assert from_plain(Calibration, to_plain(report)) == report


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, normwise.nn.BatchNorm1d])
@pytest.mark.parametrize(
    ("mean", "variance", "broken"),
    [
        ([0.0, math.nan, 0.0], [1.0, math.nan, 1.0], "NaN in 1 of 3 channels"),
        ([math.inf, 0.0, 0.0], [1.0, 1.0, 1.0], "infinite in 1 of 3 channels"),
        ([0.0, 0.0, 0.0], [-1.0, -0.1, 1.0], "of negative variance in 2 of 3 channels"),
        ([math.nan] * 3, [1.0] * 3, "NaN in 3 of 3 channels"),
    ],
)
def test_old_statistics_that_were_no_numbers_are_said_to_have_been(
    kind: type[nn.BatchNorm1d], mean: list[float], variance: list[float], broken: str
) -> None:
    model, x = nn.Sequential(kind(3)), torch.randn(50, 3)
    model[0].get_buffer("running_mean").copy_(torch.tensor(mean))
    model[0].get_buffer("running_var").copy_(torch.tensor(variance))
    report = normwise.calibrate(model, x)
    assert (report.layers[0].broken, report.layers[0].verdict) == (broken, "bad")
    text = str(report)
    assert f"0 (BatchNorm1d): bad, old statistics were {broken}; replaced" in text
    assert "nan" not in text
    assert "inf " not in text
    torch.testing.assert_close(model[0].get_buffer("running_mean"), x.mean(0))


def test_statistics_of_the_data_are_fine_and_those_of_a_new_layer_are_not() -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(3)), 5 + torch.randn(500, 3)
    assert normwise.calibrate(model, x).layers[0].verdict == "bad"
    again = normwise.calibrate(model, x)
    assert (again.layers[0].verdict, round(again.layers[0].error, 5)) == ("fine", 0)


def test_running_averages_of_healthy_training_are_fine() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.BatchNorm1d(64)), 3 + 2 * torch.randn(3200, 64)
    for batch in x.split(32):
        model(batch)
    report = normwise.calibrate(model, x)
    assert report.layers[0].verdict == "fine"
    assert report.layers[0].error > 0.03
