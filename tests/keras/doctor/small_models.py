"""Small Keras models, and what they are diagnosed with."""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers as L

from normwise.keras import BatchNormalization


@dataclass(frozen=True)
class Case:
    """A model, and what it is diagnosed with."""

    model: Any
    data: Any = None
    settings: dict[str, Any] = field(default_factory=dict)


def samples(*shape: int, seed: int = 0) -> np.ndarray:
    return (2 * np.random.default_rng(seed).normal(size=shape) + 1).astype("float32")


def trained(model: Any, x: np.ndarray, momentum: float | None = 0.0, steps: int = 1) -> Any:
    """Move γ a little, as training would, and the statistics to those of the data, by calls of this momentum."""
    if not model.built:
        model.build(x.shape)
    for layer in norms_of(model):
        if layer.gamma is not None:
            layer.gamma.assign(np.random.default_rng(1).uniform(0.8, 1.2, layer.gamma.shape))
    held = [(layer, layer.momentum) for layer in norms_of(model)]
    for layer, own in held:
        layer.momentum = own if momentum is None else momentum
    for _ in range(steps):
        model(x, training=True)
    for layer, own in held:
        layer.momentum = own
    return model


def dense(*inner: Any, inputs: int = 4, outputs: int = 3) -> Any:
    """A dense model with layers between the first and the last one."""
    given = L.Dense(8, use_bias=False, name="first")
    return keras.Sequential([keras.Input((inputs,)), given, *inner, L.Dense(outputs, name="last")])


def norm(**settings: Any) -> Any:
    return BatchNormalization(**{"momentum": 0.8, "name": "norm", **settings})


def norms_of(model: Any) -> list[Any]:
    return [
        layer for layer in model._flatten_layers() if isinstance(layer, L.BatchNormalization) and layer.built
    ]
