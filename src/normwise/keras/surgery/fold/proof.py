"""Proof that layers, and whole models, compute the same outputs."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from normwise.errors import ModelError
from normwise.keras.surgery.arrays import as_array, double
from normwise.keras.surgery.error_text import error_text
from normwise.keras.surgery.fold.algebra import Weights
from normwise.keras.surgery.fold.left_error import LeftError
from normwise.keras.surgery.observing import observing
from normwise.keras.surgery.process_state import without_gradients

#: Largest difference of a pair of layers from the layer that replaces them, relative to the largest output. Keras
#: computes layers of float64 in float64 on TensorFlow; on JAX and torch it computes them, or some of them, in float32.
_CLOSE = {"float64": 1e-9, "float32": 3.5e-4}
_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def check_pair(pair: Sequence[tuple[Any, Weights | None]], mixer: Any, new: Weights, x: Any) -> None:
    """Check that a layer with new weights computes the same as two layers, on an example and on random numbers.

    Args:
        pair: Two layers in the order of their calls, and the weights of the one that is not BN.
        mixer: Layer that gets the new weights.
        new: New weights.
        x: Input of the first layer on the example.

    Raises:
        LeftError: it does not, or can't be checked.
    """
    kind = "float64" if keras.backend.backend() == "tensorflow" else "float32"
    random = np.random.default_rng(0).standard_normal(x.shape)
    with without_gradients():
        try:
            given = [keras.ops.convert_to_tensor(values.astype(kind)) for values in (x, random)]
            expected = given
            for layer, weights in pair:
                expected = _tried(layer, weights, kind, expected)
            got = _tried(mixer, new, kind, given)
        except Exception as error:
            raise LeftError(f"it can't be tried on numbers: {error_text(error)}") from error
    found = max(_difference(double(one), double(other)) for one, other in zip(expected, got, strict=True))
    if not found <= _CLOSE[kind]:
        raise LeftError(
            f"tried in {kind}, the outputs differ by {found:.1e} of the largest, and {_CLOSE[kind]:.0e} is allowed"
        )


def _tried(layer: Any, weights: Weights | None, kind: str, inputs: list[Any]) -> list[Any]:
    """Return the outputs, in another dtype, of a BN layer, or of another layer with new weights and no activation."""
    config = layer.get_config() | {"dtype": kind}
    if "activation" in config:
        config["activation"] = None
    # The initial weights don't matter, and zeros are cheap.
    config |= dict.fromkeys((name for name in config if name.endswith("kernel_initializer")), "zeros")
    if weights is not None:
        config["use_bias"] = True
    copy = type(layer).from_config(config)
    copy.build(tuple(inputs[0].shape))
    if weights is None:
        for new, old in zip(copy.weights, layer.weights, strict=True):
            new.assign(as_array(old))
    else:
        for name, value in weights.items():
            getattr(copy, name).assign(value)
    return [copy(x, training=False) for x in inputs]


def check_models(old: Any, new: Any, x: Any, tolerance: float | None) -> tuple[float, float]:
    """Return the largest difference of two models' outputs in inference, or NaN, and the allowed difference.

    Raises:
        ModelError: the difference is too large, or a model fails.
    """
    with without_gradients():
        try:
            expected = keras.tree.flatten(old(x, training=False))
        except Exception as error:
            raise ModelError(f"the model fails on the example: {error_text(error)}") from error
        got = keras.tree.flatten(new(x, training=False))
    kinds = {layer.compute_dtype for layer in old._flatten_layers()} & _EPSILON.keys()
    allowed = tolerance or math.sqrt(max(_EPSILON[kind] for kind in kinds or {"float32"}))
    pairs = zip(expected, got, strict=True)
    differences = [_difference(double(one), double(other)) for one, other in pairs]
    found = math.nan if any(map(math.isnan, differences)) else max(differences, default=math.nan)
    if found > allowed:
        raise ModelError(
            f"the folded model's outputs differ from the model's by {found:.1e} of the largest, and {allowed:.1e} is "
            "allowed; nothing is changed. Weights may be so unequal that rounding shows: try the model in float64, or "
            "pass a larger tolerance"
        )
    return found, allowed


def _difference(expected: Any, got: Any) -> float:
    if expected.shape != got.shape:
        return math.inf
    if np.isnan(expected).any():
        return math.nan
    apart = float(np.abs(np.where(expected == got, 0, expected - got)).max(initial=0))
    largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    return apart / largest if largest else apart


def inputs_of(model: Any, layers: Sequence[Any], x: Any) -> dict[int, Any]:
    """Return the inputs of several layers on an example, by ``id``.

    Raises:
        ModelError: the model fails on the example.
    """
    found: dict[int, Any] = {}

    def look(path: str, layer: Any, args: Any, kwargs: Any) -> None:
        found[id(layer)] = double(args[0] if args else kwargs["inputs"])

    with observing({str(number): layer for number, layer in enumerate(layers)}, look), without_gradients():
        try:
            model(x, training=False)
        except Exception as error:
            raise ModelError(f"the model fails on the example: {error_text(error)}") from error
    return found
