"""A calibration changes the statistics alone, and nothing where it fails."""

import random

import numpy as np
import pytest

import normwise.keras as nk
from normwise.errors import ModelError
from normwise.keras.surgery.arrays import double
from tests.keras.surgery.calibrate_cases import network, samples


def test_the_number_of_batches_of_a_plain_average_stays() -> None:
    model, x = network(nk.BatchNormalization, momentum=None), samples()
    model(x, training=True)
    nk.calibrate(model, x)
    assert int(double(model.get_layer("first").batches)) == 1


def test_nothing_has_changed_after_an_exception() -> None:
    model = network(renorm=True)
    before = [value.copy() for value in model.get_weights()]
    x = samples()
    bad = x.copy()
    bad[-1] = np.nan
    state = random.getstate()
    with pytest.raises(ModelError) as raised:
        nk.calibrate(model, bad)
    assert str(raised.value) == (  # and no word of Keras around it
        "batch 1 (counted from 0) gives channel 0 of 'first' values that are not finite, and its statistics would not "
        "be either. Find out where they come from, or leave that batch out"
    )
    for want, got in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    assert random.getstate() == state
    assert all("call" not in vars(layer) for layer in model.layers)


def test_modes_of_training_and_the_optimiser_stay() -> None:
    model, x = network(), samples()
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    before = {
        weight.path: double(weight) for weight in [*model.trainable_weights, *model.optimizer.variables]
    }
    nk.calibrate(model, x)
    for weight in [*model.trainable_weights, *model.optimizer.variables]:
        np.testing.assert_array_equal(double(weight), before[weight.path])
    assert model.optimizer.built
    assert all(layer.trainable for layer in model.layers)
