"""Virtual batches against the oracle of each part."""

from typing import Any

import keras
import numpy as np
import pytest

from normwise import reference
from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.keras.calls import call
from tests.support.keras.gradients import passes


def _array(value: Any) -> np.ndarray:
    return ops.convert_to_numpy(value)


def _parts(samples: int, most: int, values: int) -> list[int]:
    """Return the first sample of each part but the first."""
    number = -(-samples // most)
    if values == 1:
        number = min(number, samples // 2)
    return np.cumsum([len(part) for part in np.array_split(np.arange(samples), max(number, 1))])[:-1].tolist()


@pytest.mark.parametrize(
    ("shape", "axis", "most"),
    [
        ((6, 4, 3), -1, 2),
        ((7, 3, 4), 1, 3),
        ((5, 3), -1, 1),
        ((4, 3), 1, 9),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_each_part_is_normalised_as_a_batch_of_its_own(
    shape: tuple[int, ...], axis: int, most: int, masked: bool
) -> None:
    random = np.random.default_rng(0)
    x, residual, upstream = (random.standard_normal((3, *shape)) + 1).astype("float32")
    mask = random.random([n for a, n in enumerate(shape) if a != axis % len(shape)]) > 0.3 if masked else None
    if mask is not None:
        upstream = (upstream * np.expand_dims(mask, axis)).astype("float32")
    layer: Any = BatchNormalization(axis=axis, activation="silu", momentum=0.5, virtual_batch_size=most)
    layer.build(shape)
    channels = shape[axis]
    gamma, beta = np.linspace(0.5, 2, channels), np.linspace(-1, 1, channels)
    layer.set_weights([gamma, beta, np.full(channels, 0.5), np.full(channels, 1.5)])
    got = passes(layer, x, upstream, residual=residual, training=True, mask=mask)

    x, residual, upstream = (np.moveaxis(values, axis, 1) for values in (x, residual, upstream))
    at = _parts(shape[0], most, int(np.prod(shape)) // shape[0] // channels)
    outputs, inputs, weights = [], [], np.zeros((2, channels))
    for part in np.split(np.arange(shape[0]), at):
        one = reference.batch_norm(
            x[part], None, None, gamma, beta, True, eps=1e-3, activation="silu", residual=residual[part],
            mask=None if mask is None else mask[part],
        )  # fmt: skip
        gradients = reference.batch_norm_backward(one, upstream[part])
        outputs.append(one.output)
        inputs.append(gradients.x)
        weights += [gradients.weight, gradients.bias]
    real = np.broadcast_to(True if mask is None else np.expand_dims(mask, 1), x.shape)
    np.testing.assert_allclose(
        np.moveaxis(got.output, axis, 1)[real], np.concatenate(outputs)[real], atol=2e-5
    )
    np.testing.assert_allclose(np.moveaxis(got.x, axis, 1), np.concatenate(inputs), atol=5e-5)
    np.testing.assert_allclose(got.weights, weights, atol=2e-4)

    # Those of the whole batch.
    of_channels = [
        values[is_real].astype("float64")
        for values, is_real in zip(np.moveaxis(x, 1, 0), np.moveaxis(real, 1, 0), strict=True)
    ]
    mean, variance = ([getattr(values, name)() for values in of_channels] for name in ("mean", "var"))
    np.testing.assert_allclose(_array(layer.moving_mean), 0.25 + 0.5 * np.array(mean), rtol=1e-5)
    np.testing.assert_allclose(_array(layer.moving_variance), 0.75 + 0.5 * np.array(variance), rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere sizes are known")
@pytest.mark.parametrize("shape", [(None, 3), (None, None, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("most", [None, 2])
def test_sizes_that_a_graph_does_not_know_change_nothing(
    shape: tuple[int | None, ...], masked: bool, most: int | None
) -> None:
    import tensorflow as tf

    layer, eager = (BatchNormalization(momentum=0.5, virtual_batch_size=most) for _ in range(2))
    layer.build(shape)
    eager.build(shape)

    @tf.function(input_signature=[tf.TensorSpec(shape), tf.TensorSpec(shape[:-1], tf.bool)])
    def step(x: Any, mask: Any) -> Any:
        return layer(x, training=True, mask=mask if masked else None)

    random = np.random.default_rng(0)
    for samples in (6, 5, 2, 0, 1):
        size = (samples, *(4 for _ in shape[1:-1]), 3)
        x, mask = random.standard_normal(size).astype("float32"), random.random(size[:-1]) > 0.3
        y = step(x, mask)
        expected = eager(x, training=True, mask=mask if masked else None)
        np.testing.assert_allclose(y, expected, atol=1e-6)
        for moved, wanted in zip(layer.get_weights(), eager.get_weights(), strict=True):
            np.testing.assert_allclose(moved, wanted, rtol=1e-6)
            assert np.isfinite(moved).all()


def test_inference_knows_no_parts() -> None:
    x = np.random.default_rng(0).standard_normal((5, 3)).astype("float32")
    layer, whole = BatchNormalization(virtual_batch_size=2), BatchNormalization()
    np.testing.assert_array_equal(_array(layer(x)), _array(whole(x)))


def test_a_part_without_a_real_position_is_normalised_as_such_a_batch_is() -> None:
    x = (np.random.default_rng(0).standard_normal((4, 5, 3)) + 50).astype("float32")
    mask = np.repeat([[True], [True], [False], [False]], 5, 1)
    layer: Any = BatchNormalization(virtual_batch_size=2, momentum=0.0)
    alone, real = BatchNormalization(), BatchNormalization(momentum=0.0)
    y = call(layer, x, True, mask=mask)
    np.testing.assert_allclose(y[2:], call(alone, x[2:], True, mask=mask[2:]), rtol=1e-5)
    np.testing.assert_allclose(y[:2], call(real, x[:2], True), atol=1e-5)
    for moved, expected in zip(layer.get_weights(), real.get_weights(), strict=True):
        np.testing.assert_allclose(moved, expected, rtol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("other", [1e6, 1e8, float("nan"), float("inf")])
def test_what_one_part_holds_costs_another_no_digit(other: float, masked: bool) -> None:
    x = np.random.default_rng(0).standard_normal((8, 5, 3)).astype("float32")
    mask = np.ones((8, 5), bool) if masked else None
    layer: Any = BatchNormalization(virtual_batch_size=2)
    expected = call(layer, x, True, mask=mask)
    x[0, 0] = other
    np.testing.assert_allclose(call(layer, x, True, mask=mask)[2:], expected[2:], atol=1e-6)


def test_parts_of_far_means_keep_their_digits() -> None:
    x = np.random.default_rng(0).standard_normal((8, 50, 3)).astype("float32")
    x += (np.arange(8) // 2 * 1e5).astype("float32")[:, None, None]
    layer: Any = BatchNormalization(virtual_batch_size=2, momentum=0.0)
    y = call(layer, x, True)
    parts = x.astype("float64").reshape(4, 100, 3)
    expected = (parts - parts.mean(1, keepdims=True)) / np.sqrt(parts.var(1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y.reshape(4, 100, 3), expected, atol=1e-3)
    whole = parts.reshape(-1, 3)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), whole.mean(0), rtol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), whole.var(0), rtol=1e-5)
