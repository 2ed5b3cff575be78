"""Frozen statistics stay in training, on a compiled model too, and thaw as they were."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.errors import ArgumentError
from normwise.keras.surgery.arrays import double
from tests.support.keras.xla import FASTER

_X = (np.random.default_rng(0).standard_normal((32, 6)) * 2 + 3).astype("float32")


def _trained(kind: Any = nk.BatchNormalization) -> Any:
    model: Any = keras.Sequential([keras.Input((6,)), layers.Dense(4), kind(name="bn"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=FASTER)
    model.fit(_X, _X[:, :1], verbose=0)
    return model


def _moved(model: Any) -> dict[str, bool]:
    """Train an epoch, and return which weights of the BN layer it moved."""
    layer = model.get_layer("bn")
    before = {weight.name: double(weight) for weight in layer.weights}
    model.fit(_X, _X[:, :1], verbose=0)
    return {weight.name: bool((double(weight) != before[weight.name]).any()) for weight in layer.weights}


def test_a_compiled_model_goes_on_without_moving_what_is_frozen_and_thaws() -> None:
    model = _trained(layers.BatchNormalization)
    steps = int(double(model.optimizer.iterations))
    kernel = next(v for v in model.optimizer.variables if v.path.endswith("kernel_velocity"))
    path, value = kernel.path, double(kernel)
    assert nk.freeze(model).layers == ("bn",)
    kept = next(v for v in model.optimizer.variables if v.path == path)
    np.testing.assert_array_equal(double(kept), value)
    assert int(double(model.optimizer.iterations)) == steps
    assert not any(_moved(model).values())
    assert nk.unfreeze(model).layers == ("bn",)
    assert all(_moved(model).values())


def test_the_statistics_alone_are_frozen_where_γ_and_β_go_on_learning(tmp_path: Path) -> None:
    model = _trained()
    nk.freeze(model, parameters=False)
    expected = {"gamma": True, "beta": True, "moving_mean": False, "moving_variance": False}
    assert _moved(model) == expected
    model.save(tmp_path / "model.keras")
    saved: Any = keras.models.load_model(tmp_path / "model.keras")
    assert saved.get_layer("bn").frozen_statistics
    layer = model.get_layer("bn")
    layer.moving_mean.assign(np.ones(4))
    np.testing.assert_allclose(
        double(layer(np.ones((3, 4), "float32"), training=True)),
        double(layer.beta) * np.ones((3, 1)),
        rtol=1e-6,
    )
    nk.unfreeze(model)
    assert all(_moved(model).values())


def test_layers_that_were_frozen_before_stay_so_after_thawing() -> None:
    model: Any = keras.Sequential(
        [
            keras.Input((6,)),
            nk.BatchNormalization(name="one", trainable=False),
            nk.BatchNormalization(name="two"),
        ]
    )
    assert nk.freeze(model).layers == ("one", "two")
    assert nk.unfreeze(model).layers == ("two",)
    assert [layer.trainable for layer in model.layers] == [False, True]
    assert nk.unfreeze(model).layers == ("one",)


def test_statistics_alone_are_no_setting_of_keras_s_own_layer() -> None:
    model: Any = keras.Sequential(
        [keras.Input((6,)), nk.BatchNormalization(), layers.BatchNormalization(name="keras")]
    )
    with pytest.raises(ArgumentError, match="'keras' is Keras's own BatchNormalization"):
        nk.freeze(model, parameters=False)
    assert not model.layers[0].frozen_statistics


def test_nothing_is_frozen_where_the_optimiser_can_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = keras.Sequential([keras.Input((6,)), layers.Dense(4), nk.BatchNormalization(name="bn")])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    monkeypatch.setattr(type(model.optimizer), "from_config", lambda config: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        nk.freeze(model)
    assert model.get_layer("bn").trainable
    assert nk.unfreeze(model).layers == ()
