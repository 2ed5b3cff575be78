"""Batch renormalization: r and d, their limits and schedule, the weights it keeps, and inference."""

from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization
from normwise.keras.renorm import Schedule
from normwise.keras.untyped import ops
from tests.support.keras.calls import call, compiled
from tests.support.keras.gradients import passes

_X = np.array([[4.0, 6.0, 2.0], [8.0, -2.0, 5.0], [6.0, 4.0, 3.0]], "float32")


def _begun(clipping: Any, **settings: Any) -> Any:
    """Return a layer with statistics of an earlier time, of the names that attributes of it have."""
    layer: Any = BatchNormalization(renorm=True, renorm_clipping=clipping, **settings)
    layer.build((None, 3))
    random = np.random.default_rng(0)
    for weight in layer.weights:
        if weight.name != "batches":
            weight.assign(random.normal(1, 0.2, 3))
    return layer


def _kept(layer: Any) -> dict[str, np.ndarray]:
    return {weight.name: ops.convert_to_numpy(weight).astype("float64") for weight in layer.weights}


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("clipping", "r_limits", "d_limit"),
    [
        ({}, (0, np.inf), np.inf),
        ({"rmax": 1.5, "rmin": 0.5, "dmax": 2.0}, (0.5, 1.5), 2.0),
        ({"dmax": 0.0}, (0, np.inf), 0.0),
    ],
)
def test_output_gradients_and_statistics_are_the_papers(
    clipping: Any, r_limits: tuple[float, float], d_limit: float, masked: bool, affine: bool
) -> None:
    layer = _begun(clipping, momentum=0.9, renorm_momentum=0.8, center=affine, scale=affine)
    was = _kept(layer)
    mask = np.array([True, False, True]) if masked else None
    rows = np.array([True, False, True]) if masked else np.array([True] * 3)
    upstream = np.random.default_rng(1).standard_normal((3, 3)).astype("float32") * rows[:, None]
    got = passes(layer, _X, upstream, training=True, mask=mask)

    x = _X[rows].astype("float64")
    mean, deviation = x.mean(0), np.sqrt(x.var(0) + 1e-3)
    r = np.clip(deviation / was["renorm_stddev"], *r_limits)
    d = np.clip((mean - was["renorm_mean"]) / was["renorm_stddev"], -d_limit, d_limit)
    gamma, beta = was.get("gamma", np.ones(3)), was.get("beta", np.zeros(3))
    normalised = (x - mean) / deviation
    np.testing.assert_allclose(got.output[rows], (normalised * r + d) * gamma + beta, atol=2e-5)
    # r and d are constants to the gradient.
    g = upstream[rows] * gamma * r
    expected = (g - g.mean(0) - normalised * (g * normalised).mean(0)) / deviation
    np.testing.assert_allclose(got.x[rows], expected, atol=1e-5)
    if affine:
        np.testing.assert_allclose(got.weights[0], (upstream[rows] * (normalised * r + d)).sum(0), atol=1e-4)

    now = _kept(layer)
    np.testing.assert_allclose(now["moving_mean"], 0.9 * was["moving_mean"] + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(now["moving_stddev"], 0.9 * was["moving_stddev"] + 0.1 * deviation, rtol=1e-5)
    np.testing.assert_allclose(now["renorm_mean"], 0.8 * was["renorm_mean"] + 0.2 * mean, rtol=1e-5)
    np.testing.assert_allclose(now["renorm_stddev"], 0.8 * was["renorm_stddev"] + 0.2 * deviation, rtol=1e-5)
    np.testing.assert_allclose(now["moving_variance"], now["moving_stddev"] ** 2 - 1e-3, rtol=1e-4)


def test_it_is_clipped_by_default_and_begins_as_batch_normalization() -> None:
    renorm, plain = BatchNormalization(renorm=True), BatchNormalization()
    np.testing.assert_allclose(call(renorm, _X, True), call(plain, _X, True), atol=1e-6)


def test_limits_grow_as_in_the_papers_section_4_2() -> None:
    limits = {
        step: [float(limit) for limit in Schedule().limits(ops.convert_to_tensor(float(step)))]
        for step in (0, 5_000, 15_000, 25_000, 40_000, 10**6)
    }
    expected = {
        0: [1, 0], 5_000: [1, 0], 15_000: [1 + 2 * 10 / 35, 2.5], 25_000: [1 + 2 * 20 / 35, 5], 40_000: [3, 5],
        10**6: [3, 5],
    }  # fmt: skip
    assert {step: pytest.approx(values) for step, values in expected.items()} == limits


def test_a_schedule_of_ones_own_moves_with_the_batches() -> None:
    layer = _begun({"rmax": 2.0, "dmax": 1.0, "warmup_steps": 1, "rmax_steps": 3, "dmax_steps": 2})
    outputs, train = [], compiled(layer, True)
    for _ in range(4):
        for name, value in (("renorm_mean", 0.0), ("renorm_stddev", 0.1)):
            getattr(layer, name).assign([value] * 3)
        layer.gamma.assign([1.0] * 3)
        layer.beta.assign([0.0] * 3)
        outputs.append(train(_X))
    # The deviations are far above 0.1, so that r is its limit: 1, 1, 1.5, 2.
    np.testing.assert_allclose([y.std() / outputs[0].std() for y in outputs], [1, 1, 1.5, 2], rtol=1e-3)
    np.testing.assert_allclose([y.mean() for y in outputs], [0, 0, 1, 1], atol=1e-5)
    assert int(layer.batches) == 4


def test_inference_is_that_of_batch_normalization() -> None:
    layer, plain = _begun(None), BatchNormalization()
    plain.build((None, 3))
    plain.set_weights(layer.get_weights()[:4])
    np.testing.assert_allclose(call(layer, _X, False), call(plain, _X, False), atol=1e-6)


@pytest.mark.parametrize(
    ("clipping", "text"),
    [
        (
            {"random_key": 1.0},
            "Received invalid keys of renorm_clipping: 'random_key'; expected some of rmax",
        ),
        ({"rmax": 0.0, "rmin": 1.0}, "rmax should be rmin or more, got rmax=0.0 and rmin=1.0"),
        ({"rmax": 1.0, "dmax": -1.0}, "dmax should be non-negative, got dmax=-1.0"),
        ({"rmin": 0.5, "rmax_steps": 9}, "rmin is the inverse of rmax"),
        ({"warmup_steps": 9, "rmax_steps": 3}, "0 <= warmup_steps <= rmax_steps"),
    ],
)
def test_limits_that_contradict_one_another_are_errors(clipping: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        BatchNormalization(renorm=True, renorm_clipping=clipping)
    BatchNormalization(renorm=False, renorm_clipping=clipping)


def test_keras_weights_load_from_a_file_and_the_schedule_begins(tmp_path: Any) -> None:
    theirs: Any = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(renorm=True)])
    theirs.layers[0].set_weights([np.full(3, i + 1.0) for i in range(7)])
    theirs.save_weights(tmp_path / "their.weights.h5")
    ours: Any = keras.Sequential([keras.Input((3,)), BatchNormalization(renorm=True)])
    ours.load_weights(tmp_path / "their.weights.h5")
    for got, wanted in zip(ours.get_weights(), [*theirs.get_weights(), 0], strict=True):
        np.testing.assert_array_equal(got, wanted)
