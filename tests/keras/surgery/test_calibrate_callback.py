"""Validation, and what callbacks keep after it, are those of the calibrated model."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.keras.surgery.arrays import double
from tests.support.keras.xla import FASTER

_X = (np.random.default_rng(0).standard_normal((64, 6)) * 2 + 3).astype("float32")
_Y = _X[:, :1]


def _model() -> Any:
    model: Any = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4), nk.BatchNormalization(name="bn"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=FASTER)
    return model


def _statistics_of_data(model: Any) -> Any:
    return double(keras.Model(model.inputs[0], model.get_layer("bn").input)(_X, training=False)).mean(0)


def test_validation_and_checkpoint_have_the_calibrated_statistics(tmp_path: Path) -> None:
    model = _model()
    calibrating = nk.CalibrateCallback((_X, _Y), max_batches=2)
    # In either order.
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "before{epoch}.keras"),
        calibrating,
        keras.callbacks.ModelCheckpoint(tmp_path / "behind{epoch}.keras"),
    ]
    history = model.fit(_X, _Y, epochs=2, verbose=0, validation_data=(_X, _Y), callbacks=callbacks)
    assert len(calibrating.reports) == 2
    assert calibrating.reports[0].batches == 2
    for side, epoch in (("before", 1), ("behind", 2)):
        saved: Any = keras.models.load_model(tmp_path / f"{side}{epoch}.keras")
        np.testing.assert_allclose(
            double(saved.get_layer("bn").moving_mean), _statistics_of_data(saved), atol=1e-5
        )
        loss = float(np.mean((double(saved(_X, training=False)) - _Y) ** 2))
        assert history.history["val_loss"][epoch - 1] == pytest.approx(loss, rel=1e-4)


def test_a_training_without_validation_ends_calibrated_and_trains_as_ever() -> None:
    plain, model = _model(), _model()
    model.set_weights(plain.get_weights())
    plain.fit(_X, _Y, epochs=2, verbose=0, shuffle=False)
    calibrating = nk.CalibrateCallback(_X)
    model.fit(_X, _Y, epochs=2, verbose=0, shuffle=False, callbacks=[calibrating])
    assert len(calibrating.reports) == 1
    np.testing.assert_allclose(
        double(model.get_layer("bn").moving_mean), _statistics_of_data(model), atol=1e-5
    )
    for want, got in zip(plain.trainable_weights, model.trainable_weights, strict=True):
        np.testing.assert_allclose(double(got), double(want), rtol=1e-5, atol=1e-6)
