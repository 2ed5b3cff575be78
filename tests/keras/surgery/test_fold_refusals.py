"""Layers that can not be folded are left with the reason, and errors of fold."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.errors import ArgumentError, ModelError
from tests.keras.surgery.fold_checks import Scramble, assert_equal, details, example


def test_what_can_not_be_folded_is_left_and_the_reason_is_said(scrambled: Scramble) -> None:
    given = keras.Input((4,))
    activated = layers.Dense(4, activation="relu", name="activated")(given)
    y = nk.BatchNormalization(name="behind_relu")(activated)
    y = layers.Activation("tanh")(y)
    used_twice = layers.Dense(4, name="used_twice")(y)
    y = nk.BatchNormalization(name="of_two")(used_twice) + used_twice
    shared = nk.BatchNormalization(name="shared")
    y = shared(layers.Dense(4)(y)) + shared(y)
    y = nk.BatchNormalization(name="broken")(layers.Dense(4)(y))
    y = layers.Reshape((2, 2))(y)
    y = layers.TimeDistributed(nk.BatchNormalization(name="inner"), name="wrapper")(y)
    y = nk.BatchNormalization(name="of_half", dtype="float16")(layers.Dense(2, name="float32")(y))
    model = scrambled(keras.Model(given, y))
    model.get_layer("broken").moving_variance.assign([1.0, -1.0, 1.0, 1.0])
    model.get_layer("broken").moving_mean.assign(np.zeros(4))
    folded, report = nk.fold(model, example(3, 4))
    said = details(report)
    assert not any(change.changed for change in report.changes)
    assert said["behind_relu"] == "the relu of Dense 'activated' comes between them"
    assert said["of_two"] == "the output of Dense 'used_twice' is used in 2 places"
    assert said["shared"] == "it is called 2 times"
    assert "channel 1 are the mean 0 and the variance -1; calibrate" in said["broken"]
    assert said["wrapper/inner"] == "it is within 'wrapper', a layer whose call can't be followed"
    assert said["of_half"] == "it gives float16, and Dense 'float32' float32"
    assert len(folded.layers) == len(model.layers)


def test_layers_with_code_of_their_own_are_left(scrambled: Scramble) -> None:
    class _Own(layers.Dense):
        def call(self, inputs: Any, training: Any = None) -> Any:
            return super().call(2 * inputs)

    model = scrambled(
        keras.Sequential(
            [keras.Input((4,)), _Own(3, name="own"), nk.BatchNormalization(), layers.Lambda(lambda x: 2 * x)]
        )
    )
    x = example(3, 4)
    folded, report = nk.fold(model, x)
    assert report.changes[0].detail == "_Own 'own' may do anything in its call"
    assert_equal(model, folded, x)


def test_a_pair_that_can_not_be_proven_is_left(monkeypatch: pytest.MonkeyPatch, scrambled: Scramble) -> None:
    from normwise.keras.surgery.fold import fold

    right = fold.into_outputs
    monkeypatch.setattr(
        fold, "into_outputs", lambda layer, weights, scale, shift: right(layer, weights, 1.01 * scale, shift)
    )
    model = scrambled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3), nk.BatchNormalization(name="bn")])
    )
    folded, report = nk.fold(model, example(3, 4))
    assert "the outputs differ by" in report.changes[0].detail
    assert len(folded.layers) == 2


def test_a_subclassed_model_and_bad_input_get_a_clear_error(scrambled: Scramble) -> None:
    class _Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nk.BatchNormalization()

        def call(self, x: Any) -> Any:
            return self.bn(x)

    subclassed, x = _Subclassed(), example(3, 4)
    subclassed(x)
    with pytest.raises(
        ModelError, match="_Subclassed has a call of its own, in which values can't be followed"
    ):
        nk.fold(subclassed, x)
    model = scrambled(keras.Sequential([keras.Input((4,)), layers.Dense(3), nk.BatchNormalization()]))
    with pytest.raises(ArgumentError, match="expected a positive number as tolerance, got 0"):
        nk.fold(model, x, tolerance=0)
    with pytest.raises(ModelError, match=r"^the model fails on the example: (?!Exception encountered)"):
        nk.fold(model, x[:, :2])
    with pytest.raises(ModelError, match="the folded model's outputs differ from the model's by"):
        nk.fold(model, x, tolerance=1e-12)


def test_nan_proves_nothing(scrambled: Scramble) -> None:
    stack = [
        keras.Input((4,)),
        layers.Dense(3),
        nk.BatchNormalization(),
        layers.ReLU(),
        layers.Dense(2, name="last"),
    ]
    model = scrambled(keras.Sequential(stack))
    model.get_layer("last").bias.assign([np.nan, 0.0])
    with pytest.raises(ModelError, match="outputs on the example have NaN"):
        nk.fold(model, example(2, 4))
