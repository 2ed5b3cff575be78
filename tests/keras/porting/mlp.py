"""A small network in both frameworks."""

from typing import Any

import keras
import numpy as np
import torch
from torch import Tensor, nn

from normwise.keras import BatchNormalization

L = keras.layers


def mlp() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential()
    for name, layer in (
        ("hidden", nn.Linear(4, 5)),
        ("norm", nn.BatchNorm1d(5)),
        ("relu", nn.ReLU()),
        ("out", nn.Linear(5, 5)),
    ):
        model.add_module(name, layer)
    for _ in range(3):
        model(torch.randn(16, 4) * 3 + 1)
    return model


def keras_mlp(**norm: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(5, name="hidden"),
            BatchNormalization(name="norm", **norm),
            L.ReLU(),
            L.Dense(5, name="out"),
        ]
    )


def variance(model: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(model.get_layer("norm").moving_variance))


def outputs(model: Any, x: Tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(model(x.numpy(), training=False)))
