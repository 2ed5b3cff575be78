"""Outputs and gradients of the layer against the oracle in float64, over its arguments."""

from typing import Any

import keras
import numpy as np
import pytest

from normwise import reference
from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops
from tests.support.grids import TRAINING, grid
from tests.support.keras.gradients import passes
from tests.support.keras.xla import AS_BY_DEFAULT

_LAYOUTS = {"dense": ((6, 3), -1), "first": ((4, 2, 3, 5), 1), "last": ((4, 3, 5, 2), -1)}
#: Names of activations in Keras, and in the oracle.
_ACTIVATIONS = {"none": (None, None), "relu": ("relu", "relu"), "silu": ("silu", "silu"), "gelu": ("gelu", "gelu"),
                "hard": ("hard_silu", "hardswish"), "elu": ("elu", "elu"), "tanh": ("tanh", "tanh"),
                "sigmoid": ("sigmoid", "sigmoid"), "relu6": ("relu6", "relu6")}  # fmt: skip


@grid(
    {
        ("shape", "axis"): _LAYOUTS,
        "training": TRAINING,
        ("activation", "name"): _ACTIVATIONS,
        "masked": {"masked": True, "whole": False},
        "added": {"residual": True, "alone": False},
        "affine": {"affine": True, "plain": False},
    },
    strength=2,
)
def test_output_and_all_gradients_are_the_definitions(
    shape: tuple[int, ...],
    axis: int,
    training: bool,
    activation: str | None,
    name: str | None,
    masked: bool,
    added: bool,
    affine: bool,
) -> None:
    random = np.random.default_rng(0)
    x, residual, upstream = random.standard_normal((3, *shape)).astype("float32") * 2 + 1
    channels = shape[axis]
    gamma, beta = np.linspace(0.5, 2, channels), np.linspace(-1, 1, channels)
    layer: Any = BatchNormalization(axis=axis, center=affine, scale=affine, activation=activation)
    layer.build(shape)
    mean, variance = np.linspace(0, 2, channels), np.linspace(1, 3, channels)
    values = [gamma, beta, mean, variance] if affine else [mean, variance]
    layer.set_weights(values)
    mask = None
    if masked:
        mask = random.random([n for a, n in enumerate(shape) if a != axis % len(shape)]) > 0.4
        upstream = upstream * np.expand_dims(mask, axis)
    got = passes(
        layer,
        x,
        upstream.astype("float32"),
        residual=residual if added else None,
        options=AS_BY_DEFAULT,
        training=training,
        mask=mask,
    )

    expected = reference.batch_norm(
        np.moveaxis(x, axis, 1),
        mean,
        variance,
        gamma if affine else None,
        beta if affine else None,
        training,
        eps=1e-3,
        activation=name,
        residual=np.moveaxis(residual, axis, 1) if added else None,
        mask=mask,
    )
    gradients = reference.batch_norm_backward(expected, np.moveaxis(upstream, axis, 1))
    output = np.moveaxis(got.output, axis, 1)
    real = np.broadcast_to(expected.real, output.shape)
    np.testing.assert_allclose(output[real], expected.output[real], atol=2e-5)
    np.testing.assert_allclose(np.moveaxis(got.x, axis, 1), gradients.x, atol=5e-5)
    if added:
        assert got.residual is not None
        np.testing.assert_allclose(np.moveaxis(got.residual, axis, 1), gradients.residual, atol=2e-5)
    if affine:
        np.testing.assert_allclose(got.weights[0], gradients.weight, atol=2e-4)
        np.testing.assert_allclose(got.weights[1], gradients.bias, atol=2e-4)
    moved = not np.allclose(ops.convert_to_numpy(layer.moving_mean), mean)
    assert moved == training


#: Layers of Keras whose output is no whole block of memory on torch.
_BEFORE: dict[str, Any] = {
    "whole": keras.layers.Identity,
    "slice": lambda: keras.layers.Cropping2D(((1, 1), (2, 0))),
    "permuted": lambda: keras.layers.Permute((3, 1, 2)),
}


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("before", _BEFORE)
def test_inputs_in_any_layout_of_memory_are_differentiated(before: str, axis: int) -> None:
    x, other = (
        np.random.default_rng(seed).standard_normal((4, 6, 5, 7)).astype("float32") for seed in (0, 1)
    )
    model = keras.Sequential([keras.Input(x.shape[1:]), _BEFORE[before](), BatchNormalization(axis=axis)])
    given = ops.convert_to_numpy(model.layers[0](x))
    upstream = other.reshape(-1)[: given.size].reshape(given.shape)
    found = passes(model, x, upstream, training=True)
    channels = np.moveaxis(given, axis, 1)
    forward = reference.batch_norm(
        channels, np.zeros(channels.shape[1]), np.ones(channels.shape[1]), training=True, eps=1e-3
    )
    gradient = reference.batch_norm_backward(forward, np.moveaxis(upstream, axis, 1)).x
    np.testing.assert_allclose(np.moveaxis(found.output, axis, 1), forward.output, atol=2e-5)
    own = np.moveaxis(gradient, 1, axis)
    expected = np.zeros(x.shape)
    if before == "permuted":
        expected = own.transpose(0, 2, 3, 1)
    elif before == "slice":
        expected[:, 1:5, 2:] = own
    else:
        expected = own
    np.testing.assert_allclose(found.x, expected, atol=2e-5)
