"""Masks: any arrangement of axes, one channel, automatic ones, and batches that have no real position."""

from typing import Any

import keras
import numpy as np
import pytest
from keras.src import backend

from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.calls import call
from tests.support.keras.gradients import passes
from tests.support.keras.xla import FASTER


def _moved(axis: int, x: np.ndarray, mask: np.ndarray, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    layer: Any = BatchNormalization(axis=axis, momentum=0.0, **settings)
    call(layer, x, True, mask=mask)
    return ops.convert_to_numpy(layer.moving_mean), ops.convert_to_numpy(layer.moving_variance)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere sizes are known")
def test_it_is_one_whatever_the_number_of_samples() -> None:
    import tensorflow as tf

    layer: Any = BatchNormalization(axis=1)
    layer.build((None, 3, 3))
    step: Any = tf.function(lambda x, mask: layer(x, training=True, mask=mask))
    of_any_size = tf.TensorSpec((None, 3, 3)), tf.TensorSpec((None, 3), tf.bool)
    with pytest.raises(ValueError, match="may be that of the inputs"):
        step.get_concrete_function(*of_any_size)


@pytest.mark.parametrize("parts", [None, 2])
@pytest.mark.parametrize(
    ("shape", "axis", "sizes", "whole"),
    [
        ((4, 5, 3), -1, (4, 5), (4, 5, 1)),
        ((4, 5, 3), -1, (4,), (4, 1, 1)),
        ((4, 5, 3), -1, (1, 5), (1, 5, 1)),
        ((4, 5, 3), -1, (4, 5, 1), (4, 5, 1)),
        ((4, 5, 3), -1, (4, 5, 3), (4, 5, 3)),
        ((4, 3, 5), 1, (4, 5), (4, 1, 5)),
        ((4, 2, 3, 5), 1, (4, 3, 5), (4, 1, 3, 5)),
        ((4, 2, 3, 5), 1, (4, 3), (4, 1, 3, 1)),
        ((4, 5, 1), -1, (4, 5), (4, 5, 1)),
        ((4, 1, 5), 1, (4, 5), (4, 1, 5)),
        # As Keras makes them, with the channels among the axes.
        ((4, 2, 3), 1, (4, 2), (4, 2, 1)),
        ((4, 5, 3, 2), 1, (4, 5, 3), (4, 5, 3, 1)),
    ],
)
def test_statistics_are_those_of_the_real_positions(
    shape: tuple[int, ...], axis: int, sizes: tuple[int, ...], whole: tuple[int, ...], parts: int | None
) -> None:
    random = np.random.default_rng(0)
    x = (random.standard_normal(shape) * 2 + 5).astype("float32")
    mask = random.random(sizes) > 0.4
    real = np.moveaxis(np.broadcast_to(mask.reshape(whole), shape), axis, 0)
    chosen = [
        channel[where].astype("float64") for channel, where in zip(np.moveaxis(x, axis, 0), real, strict=True)
    ]
    assert all(len(values) for values in chosen)
    mean, variance = _moved(axis, x, mask, virtual_batch_size=parts)
    np.testing.assert_allclose(mean, [values.mean() for values in chosen], rtol=1e-5)
    np.testing.assert_allclose(variance, [values.var() for values in chosen], rtol=1e-4, atol=1e-6)


def test_a_mask_that_may_be_read_in_two_ways_is_an_error_that_shows_both() -> None:
    x, mask = np.zeros((4, 3, 3), "float32"), np.ones((4, 3), bool)
    text = r"\(4, 3\) may be that of the inputs, \(4, 3, 3\), .* give it all axes, \(4, 1, 3\) or \(4, 3, 1\)"
    with pytest.raises(ValueError, match=text):
        BatchNormalization(axis=1)(x, training=True, mask=mask)
    for whole in ((4, 1, 3), (4, 3, 1)):
        BatchNormalization(axis=1)(x, training=True, mask=mask.reshape(whole))


@pytest.mark.parametrize("parts", [None, 2])
@pytest.mark.parametrize("renorm", [False, True])
def test_a_batch_without_a_real_position_moves_nothing_and_everything_is_finite(
    renorm: bool, parts: int | None
) -> None:
    if renorm and parts:
        return
    layer: Any = BatchNormalization(
        momentum=None, renorm=renorm, virtual_batch_size=parts, unbiased_moving_variance=True
    )
    layer.build((4, 5, 3))
    layer(np.random.default_rng(0).standard_normal((4, 5, 3)).astype("float32"), training=True)
    before = layer.get_weights()
    x = np.full((4, 5, 3), 7.0, "float32")
    got = passes(layer, x, np.ones_like(x), training=True, mask=np.zeros((4, 5), bool))
    for was, now in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    for values in (got.output, got.x, *got.weights):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("call_settings", [{"training": True}, {"training": False}])
@pytest.mark.parametrize("settings", [{}, {"trainable": False}, {"frozen_statistics": True}])
def test_a_mask_that_does_not_fit_is_an_error_whatever_normalises(settings: Any, call_settings: Any) -> None:
    layer: Any = BatchNormalization(**settings)
    with pytest.raises(
        ValueError, match=r"mask has the shape \(4, 6\), expected that of the inputs, \(4, 5, 3\)"
    ):
        layer(np.zeros((4, 5, 3), "float32"), mask=np.ones((4, 6), bool), **call_settings)


def test_a_mask_that_is_given_reaches_the_loss_as_that_of_keras_layer_does() -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype("float32")
    mask = np.arange(5) < np.array([5, 3, 1, 2])[:, None]
    found = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        inputs, given = keras.Input((5, 3)), keras.Input((5,), dtype="bool")
        y = kind()(inputs, mask=given)
        assert backend.get_keras_mask(y) is not None
        y = kind()(x, mask=mask)
        found.append(ops.convert_to_numpy(keras.losses.MeanSquaredError()(np.zeros_like(x), y)))
    np.testing.assert_allclose(found, (x[mask] ** 2).mean() / 1.001, rtol=1e-5)


def test_zeros_with_a_mask_of_numbers_come_back_as_zeros() -> None:
    layer: Any = BatchNormalization(scale=False, center=False)
    y = layer(np.zeros((4, 5)), mask=np.zeros((4,), "float32"), training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), 0)


def test_a_channel_without_a_real_position_stays_as_it_is() -> None:
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype("float32")
    mask = np.ones((4, 2, 1), bool)
    mask[:, 1] = False
    mean, variance = _moved(1, x, mask)
    np.testing.assert_allclose(mean, [x[:, 0].mean(), 0], atol=1e-6)
    np.testing.assert_allclose(variance, [x[:, 0].var(), 1], rtol=1e-5)


@pytest.mark.parametrize("nothing", [np.nan, -np.inf, 1e30])
def test_masked_positions_may_hold_anything(nothing: float) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype("float32")
    mask = np.arange(5) < np.array([5, 3, 1, 2])[:, None]
    x[~mask] = nothing
    layer: Any = BatchNormalization(momentum=0.0)
    layer.build(x.shape)
    got = passes(layer, x, np.ones_like(x) * mask[..., None], training=True, mask=mask)
    real = x[mask].astype("float64")
    expected = (real - real.mean(0)) / np.sqrt(real.var(0) + 1e-3)
    np.testing.assert_allclose(got.output[mask], expected, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), real.var(0), rtol=1e-5)
    assert np.isfinite(got.x[mask]).all()
    np.testing.assert_allclose(got.weights[0], expected.sum(0), atol=1e-4)
    np.testing.assert_allclose(got.weights[1], mask.sum(), atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_masked_positions_come_out_normalised_as_all_others(training: bool) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype("float32")
    mask = np.arange(5) < np.array([5, 3, 1, 2])[:, None]
    layer: Any = BatchNormalization(momentum=0.0, activation="relu")
    layer.build(x.shape)
    y = call(layer, x, training, mask=mask)
    again = call(layer, x, False) if training else np.maximum(x / np.sqrt(1.001), 0)
    np.testing.assert_allclose(y, again, atol=1e-5)


def test_the_mask_of_a_masking_layer_arrives_and_goes_on() -> None:
    value = 0.1
    row = [[1, 5], [2, 5], [value, value], [value, value]]
    x = np.array([row] * 4, "float32")
    inputs = keras.Input((None, 2))
    hidden = keras.layers.Masking(value)(inputs)
    layer: Any = BatchNormalization(momentum=0.0)
    model: Any = keras.Model(inputs, layer(hidden))
    model.compile("rmsprop", "mse", jit_compile=FASTER)
    model.fit(x, x, batch_size=4, epochs=2, verbose=0)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), [1.5, 5.0], rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), [0.25, 0.0], atol=1e-5)

    embedded = keras.layers.Embedding(5, 2, mask_zero=True)(np.array([[1, 2, 0], [3, 0, 0]]))
    y = layer(embedded, training=True)
    passed_on = backend.get_keras_mask(y)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(passed_on), [[True, True, False], [True, False, False]]
    )
