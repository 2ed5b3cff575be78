"""BN201 beside what `calibrate` says of the same layers, and the causes that it names."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from normwise.keras import calibrate, diagnose
from normwise.keras.surgery.arrays import double
from tests.keras.doctor.small_models import dense, norm, samples, trained
from tests.support.keras.xla import FASTER


def _branched(weight: float) -> tuple[Any, np.ndarray]:
    """Return a model whose outputs depend on a stale BN layer as much as its branch weighs."""
    inputs = keras.Input((4,))
    branch = L.Dense(8, use_bias=False)(inputs)
    branch = L.Rescaling(weight)(L.Dense(3)(norm()(branch)))
    x = samples(256, 4)
    model = trained(keras.Model(inputs, L.Add()([branch, L.Dense(3)(inputs)])), x)
    layer = model.get_layer("norm")
    layer.moving_variance.assign(9 * layer.moving_variance)
    return model, x


def test_bad_statistics_that_evaluation_does_not_feel_are_a_note() -> None:
    model, x = _branched(0.05)
    diagnosis = diagnose(model, x)
    (finding,) = diagnosis.findings
    assert (finding.code, finding.severity) == ("BN201", "info")
    assert finding.message.endswith("Evaluation of the model as a whole is not worse because of it.")
    assert diagnosis.is_healthy
    assert diagnosis.fix().proven
    assert not diagnose(model, x).findings


def test_both_judges_measure_the_same_error() -> None:
    model, x = _branched(0.05)
    (finding,) = diagnose(model, x).findings
    (record,) = calibrate(model, x).layers
    assert record.verdict == "bad"
    assert finding.symptoms[0].evidence[0].value == pytest.approx(record.error, rel=1e-4)


def test_bad_statistics_that_evaluation_feels_are_an_error() -> None:
    model, x = _branched(100.0)
    (finding,) = diagnose(model, x).findings
    assert (finding.code, finding.severity) == ("BN201", "error")


def test_a_frozen_layer_that_evaluation_does_not_feel_has_no_note() -> None:
    model, x = _branched(0.05)
    model.get_layer("norm").trainable = False
    assert not diagnose(model, (x, samples(256, 3)), loss="mse").findings


def test_a_constant_channel_has_no_variance_to_be_wrong_about() -> None:
    model, x = dense(norm()), samples(64, 4)
    first, layer = model.get_layer("first"), model.get_layer("norm")
    first.kernel.assign(0 * first.kernel)
    layer.moving_variance.assign(0.05 * np.ones(8))
    (record,) = calibrate(model, x).layers
    assert record.verdict == "fine"


def test_a_small_share_of_the_initial_variance_beside_a_small_variance_is_named() -> None:
    model, x = dense(norm(momentum=0.9), L.ReLU()), 0.05 * samples(256, 4)
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=FASTER)
    model.fit(x, samples(256, 3), batch_size=16, epochs=2, verbose=0)  # 0.9³² = 0.034 of 1 are left
    finding = next(each for each in diagnose(model, x).findings if each.code == "BN201")
    assert "momentum=0.9 after 32 steps keeps 0.034 of the initial variance 1" in finding.message


def test_statistics_that_were_measured_are_not_taken_for_initial_ones() -> None:
    model, x = dense(norm(momentum=0.99), L.ReLU()), 0.1 * samples(256, 4)
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=FASTER)
    model.fit(x, samples(256, 3), batch_size=16, epochs=1, verbose=0)  # 0.99¹⁶ = 0.85 of 1 would be left
    calibrate(model, x)
    finding = next(each for each in diagnose(model, 16 * x).findings if each.code == "BN201")
    assert "initial" not in finding.message


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_regression_is_judged_alike_whatever_its_targets_are_scaled_by(scale: float) -> None:
    model, x = _branched(100.0)
    layer = model.get_layer("norm")
    stale = double(layer.moving_variance)
    layer.moving_variance.assign(stale / 9)
    y = scale * double(model(x, training=False))
    layer.moving_variance.assign(stale)
    scaled = keras.Sequential([keras.Input((4,)), model, L.Rescaling(scale)])
    (finding,) = diagnose(scaled, (x, y), loss="mse").findings
    assert (finding.code, finding.severity) == ("BN201", "error")
