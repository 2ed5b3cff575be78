"""BN is folded into every layer that can take it over, before it or behind it."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from tests.keras.surgery.fold_checks import Scramble, assert_equal, details, example
from tests.support.keras.marks import not_on_jax

#: A layer that can take BN over, and the shape of its input.
_LAYERS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "Dense": (lambda **s: layers.Dense(5, **s), (4,)),
    "Dense of sequences": (lambda **s: layers.Dense(5, **s), (3, 4)),
    "Conv1D": (lambda **s: layers.Conv1D(5, 3, strides=2, **s), (9, 4)),
    "Conv2D": (lambda **s: layers.Conv2D(5, 3, **s), (6, 5, 4)),
    "grouped": (lambda **s: layers.Conv2D(6, 3, groups=2, dilation_rate=2, **s), (7, 6, 4)),
    "Conv3D": (lambda **s: layers.Conv3D(3, 2, **s), (4, 4, 3, 2)),
    "DepthwiseConv1D": (lambda **s: layers.DepthwiseConv1D(3, depth_multiplier=2, **s), (9, 4)),
    "DepthwiseConv2D": (lambda **s: layers.DepthwiseConv2D(3, depth_multiplier=2, **s), (6, 5, 4)),
    "SeparableConv1D": (lambda **s: layers.SeparableConv1D(5, 3, **s), (9, 4)),
    "SeparableConv2D": (lambda **s: layers.SeparableConv2D(5, 3, depth_multiplier=2, **s), (6, 5, 4)),
    "Conv1DTranspose": (lambda **s: layers.Conv1DTranspose(5, 3, strides=2, **s), (5, 4)),
    "Conv2DTranspose": (lambda **s: layers.Conv2DTranspose(5, 3, strides=2, padding="same", **s), (4, 4, 3)),
    "Conv3DTranspose": (lambda **s: layers.Conv3DTranspose(3, 2, **s), (3, 3, 2, 2)),
}

#: Of those on JAX: weights are folded in NumPy on every backend, and JAX compiles each layer for its shapes.
_ON_JAX = ("Dense", "grouped", "DepthwiseConv2D", "SeparableConv1D", "Conv2DTranspose")

_KINDS = [nk.BatchNormalization, layers.BatchNormalization]


def _layer(name: str, *more: Any) -> Any:
    return pytest.param(name, *more, marks=() if name in _ON_JAX else not_on_jax)


@pytest.mark.parametrize(
    ("name", "use_bias"), [_layer(name, number % 2 > 0) for number, name in enumerate(_LAYERS)]
)
def test_bn_is_folded_into_the_layer_before_it(name: str, use_bias: bool, scrambled: Scramble) -> None:
    make, shape = _LAYERS[name]
    kind = _KINDS[use_bias]
    model = scrambled(keras.Sequential([keras.Input(shape), make(use_bias=use_bias), kind(name="bn")]))
    before, x = model.get_weights(), example(3, *shape)
    folded, report = nk.fold(model, x)
    assert [type(layer) for layer in folded.layers] == [type(model.layers[0])]
    assert report.changes[0].detail.endswith("before it")
    assert report.output_error < 1e-5
    assert_equal(model, folded, x)
    for want, got in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", [_layer(name) for name in _LAYERS if "Transpose" not in name])
def test_bn_is_folded_into_the_layer_behind_it_where_that_does_not_pad(
    name: str, scrambled: Scramble
) -> None:
    make, shape = _LAYERS[name]
    bn = nk.BatchNormalization(name="bn")
    model = scrambled(keras.Sequential([keras.Input(shape), bn, layers.Dropout(0.5), make(use_bias=False)]))
    x = example(3, *shape)
    folded, report = nk.fold(model, x)
    assert report.changes[0].detail.endswith("behind it"), report
    assert len(folded.layers) == 2
    assert_equal(model, folded, x)


@pytest.mark.parametrize("make", [layers.Conv2DTranspose, layers.Conv2D])
def test_a_shift_before_zeros_at_the_borders_is_left_and_none_is_folded(
    make: Any, scrambled: Scramble
) -> None:
    bn: Any = nk.BatchNormalization(name="bn", center=False)
    model = scrambled(keras.Sequential([keras.Input((5, 5, 3)), bn, make(2, 3, padding="same")]))
    x = example(2, 5, 5, 3)
    _, report = nk.fold(model, x)
    assert "pads with zeros, to which the shift is not added" in details(report)["bn"]
    bn.moving_mean.assign(np.zeros(3))
    folded, report = nk.fold(model, x)
    assert report.changes[0].changed
    assert_equal(model, folded, x)


def test_channels_first_is_the_axis_of_the_channels(scrambled: Scramble) -> None:
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has no convolution with channels first on a CPU")
    model = scrambled(
        keras.Sequential(
            [
                keras.Input((3, 6, 5)),
                layers.Conv2D(5, 3, data_format="channels_first"),
                nk.BatchNormalization(axis=1, name="bn"),
                nk.BatchNormalization(name="wrong"),
            ]
        )
    )
    x = example(2, 3, 6, 5)
    folded, report = nk.fold(model, x)
    assert [change.changed for change in report.changes] == [True, False]
    assert "normalises another axis than the one on which Conv2D" in details(report)["wrong"]
    assert_equal(model, folded, x)
