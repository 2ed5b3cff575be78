"""A folded copy of a model computes what the model does."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from tests.keras.surgery.fold_checks import Scramble, assert_equal, details, example


def test_layers_on_both_sides_of_a_convolution_are_folded_into_it_in_half_precision_too(
    scrambled: Scramble,
) -> None:
    model = scrambled(
        keras.Sequential(
            [
                keras.Input((5, 5, 3)),
                layers.BatchNormalization(name="before"),
                layers.Conv2D(4, 3, use_bias=False, name="conv"),
                nk.BatchNormalization(name="behind"),
            ]
        )
    )
    x = example(2, 5, 5, 3)
    folded, report = nk.fold(model, x)
    assert details(report) == {
        "before": "folded into Conv2D 'conv' behind it",
        "behind": "folded into Conv2D 'conv' before it",
    }
    assert_equal(model, folded, x)
    for layer in model.layers:
        layer.dtype_policy = "mixed_float16"
    _, report = nk.fold(model, x)
    assert all(change.changed for change in report.changes)
    assert report.tolerance == pytest.approx(2**-5)


def test_activation_and_residual_of_a_layer_stay_in_its_place(scrambled: Scramble) -> None:
    given = keras.Input((4,))
    shortcut = layers.Dense(4, name="shortcut")(given)
    y = layers.Dense(4, name="dense")(given)
    y = nk.BatchNormalization(name="bn", activation="relu")(y, residual=shortcut)
    y = layers.Dense(3, name="last")(y)
    model = scrambled(keras.Model(given, nk.BatchNormalization(name="out", activation="tanh")(y)))
    x = example(8, 4)
    folded, report = nk.fold(model, x)
    assert details(report) == {
        "bn": "folded into Dense 'dense' before it; its residual and relu stays in its place",
        "out": "folded into Dense 'last' before it; tanh stays in its place",
    }
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    assert_equal(model, folded, x)


def test_nested_models_are_followed_and_several_bn_layers_share_a_convolution(scrambled: Scramble) -> None:
    block = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv")], name="block")
    head_input = keras.Input((4, 4, 4))
    y = nk.BatchNormalization(name="one")(head_input)
    y = nk.BatchNormalization(name="two")(y)
    y = layers.ReLU()(y)
    head: Any = keras.Model(head_input, keras.ops.add(keras.ops.mean(y, axis=(1, 2)), 1.0), name="head")
    given = keras.Input((6, 6, 3))
    model = scrambled(keras.Model(given, head(block(given))))
    x = example(2, 6, 6, 3)
    folded, report = nk.fold(model, x)
    assert set(details(report).values()) == {"folded into Conv2D 'block/conv' before it"}
    assert [layer.name for layer in folded.get_layer("head").layers if "re_lu" not in layer.name][1:] == []
    assert_equal(model, folded, x)


def test_a_folded_model_is_saved_and_loads_without_normwise_s_layers(
    tmp_path: Any, scrambled: Scramble
) -> None:
    model = scrambled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3), nk.BatchNormalization(activation="relu")])
    )
    model.compile("adam", loss=lambda y, p: (y - p) ** 2, jit_compile=False)
    x = example(3, 4)
    folded, report = nk.fold(model, (x, None))
    assert model.compiled
    assert "normwise" not in folded.to_json()
    folded.save(tmp_path / "folded.keras")
    assert_equal(model, keras.models.load_model(tmp_path / "folded.keras"), x)
    assert (
        str(report).splitlines()[-1].startswith("1 of 1 folded; largest relative difference of the outputs")
    )


def test_several_inputs_are_a_list_or_a_dictionary(scrambled: Scramble) -> None:
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    y = layers.Dense(3)(layers.add([one, two]))
    model = scrambled(keras.Model([one, two], nk.BatchNormalization()(y)))
    x = example(5, 4)
    for given in ([x, 2 * x], {"one": x, "two": 2 * x}, ([x, 2 * x], None)):
        _, report = nk.fold(model, given)
        assert report.changes[0].changed


def test_a_model_that_is_folded_and_its_copy_both_predict_and_train(scrambled: Scramble) -> None:
    """JAX gives the memory of what it trains to others."""
    model = scrambled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3), nk.BatchNormalization(), layers.Dense(1)])
    )
    x = np.random.default_rng(0).standard_normal((8, 4)).astype("float32")
    model.compile("sgd", "mse")
    folded, _ = nk.fold(model, x)
    before = folded.predict(x, verbose=0)
    model.fit(x, x[:, :1], verbose=0)
    np.testing.assert_array_equal(folded.predict(x, verbose=0), before)
    assert np.isfinite(model.predict(x, verbose=0)).all()
