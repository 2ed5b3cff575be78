"""Records of ``watch``: there and back through JSON, and as text."""

import json
import math
import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from normwise.records import (
    Environment,
    HeatMap,
    LayerPoint,
    OverChannels,
    Recording,
    UnitPoint,
    WatchedLayer,
    WatchedStep,
    from_plain,
    to_json,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
over = st.builds(OverChannels, finite, finite, finite, finite)
maybe = st.none() | over
percentiles = st.tuples(finite, finite, finite)
layers = st.builds(
    LayerPoint,
    batch_mean=over, batch_var=over, noise_mean=over, noise_var=over,
    running_mean=maybe, running_var=maybe, shift=maybe, log_ratio=maybe, weight=maybe, bias=maybe,
    weight_grad=finite, bias_grad=finite, output_grad=finite,
    units=st.lists(st.builds(UnitPoint, st.integers(0), percentiles, percentiles), max_size=2).map(tuple),
)  # fmt: skip
steps = st.builds(WatchedStep, st.integers(0), st.dictionaries(st.text(), layers, max_size=2))


@given(steps)
@settings(max_examples=40, deadline=None)
def test_a_step_is_read_back_as_it_was(step: WatchedStep) -> None:
    assert repr(from_plain(WatchedStep, json.loads(to_json(step)))) == repr(step)
    assert pickle.loads(pickle.dumps(step)) == step


def _recording(*points: WatchedStep) -> Recording:
    environment = Environment("0.1.0", "2.13.0", "2.4.6", "3.11.9", "Linux x86_64", "Some Processor", 2)
    watched = (WatchedLayer("stem.norm", "BatchNorm2d", 8), WatchedLayer("", "BatchNorm1d", 0))
    return Recording("2025-03-01T12:30:00+00:00", 50, watched, environment, points)


def _layer(**others: OverChannels | None) -> LayerPoint:
    one = OverChannels(-1.0, 0.25, 0.5, 0.125)
    given = {"shift": one, "log_ratio": OverChannels(0.0, 0.0, 0.0, math.log(1.5)), **others}
    return LayerPoint(1, True, 4, 16, one, one, one, one, **given)


def test_a_recording_is_read_back_as_it_was() -> None:
    recording = _recording(WatchedStep(0, {"stem.norm": _layer()}), WatchedStep(50, {}))
    assert repr(from_plain(Recording, json.loads(to_json(recording)))) == repr(recording)


def test_a_recording_without_points_is_its_head() -> None:
    plain = json.loads(to_json(_recording()))
    del plain["points"]
    assert from_plain(Recording, plain) == _recording()


def test_a_gradient_that_is_not_known_stays_so() -> None:
    assert json.loads(to_json(_layer()))["weight_grad"] is None
    assert math.isnan(from_plain(LayerPoint, json.loads(to_json(_layer()))).weight_grad)


def test_the_largest_is_of_either_sign() -> None:
    assert OverChannels(-3.0, 0.0, 2.0, 1.0).largest == 3
    assert OverChannels(-1.0, 0.0, 2.0, 1.0).largest == 2
    assert math.isnan(OverChannels(math.nan, math.nan, math.nan, math.nan).largest)


def test_in_words() -> None:
    assert str(_recording()) == "layers: 2, records: 0, interval: 50 steps"
    layers = {"stem.norm": _layer(), "": _layer(shift=None)}
    assert str(_recording(WatchedStep(50, layers))).splitlines() == [
        "layers: 2, records: 1, interval: 50 steps; in the last, at step 50:",
        "stem.norm: batch mean 0.12 σ from the running mean, variances differ by a factor of 1.5, "
        "noise of a batch 0.12 σ",
        "the model: no running statistics, noise of a batch 0.12 σ",
    ]


def test_a_heat_map_is_read_back_as_it_was() -> None:
    one = HeatMap("m", "A map", "", "step", "layer", "σ", (0.0, 1.0), ("a",), ((0.5, 2.0),), log=True)
    assert from_plain(HeatMap, json.loads(to_json(one))) == one
