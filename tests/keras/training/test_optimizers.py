"""The optimisers of runs in Keras update weights as those of runs in torch do."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch

from normwise.keras.surgery.arrays import double
from normwise.keras.untyped import ops
from normwise.records import RunConfig
from normwise.training.keras.compile_network import compile_network


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        ({"optimizer": "sgd"}, lambda weights: torch.optim.SGD(weights, 0.1)),
        ({"optimizer": "sgd", "momentum": 0.9}, lambda weights: torch.optim.SGD(weights, 0.1, momentum=0.9)),
        ({"optimizer": "adam"}, lambda weights: torch.optim.Adam(weights, 0.1)),
        (
            {"optimizer": "adamw", "weight_decay": 0.2},
            lambda weights: torch.optim.AdamW(weights, 0.1, weight_decay=0.2),
        ),
        ({"optimizer": "adamw"}, lambda weights: torch.optim.AdamW(weights, 0.1, weight_decay=0.0)),
    ],
    ids=["sgd", "momentum", "adam", "adamw", "adamw without decay"],
)
def test_weights_move_as_in_torch(
    settings: dict[str, Any], make: Callable[[Any], torch.optim.Optimizer], config: Callable[..., RunConfig]
) -> None:
    random = np.random.default_rng(0)
    network: Any = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = compile_network(network, config(lr=0.1, **settings))
    held = [torch.tensor(double(weight)) for weight in network.trainable_variables]
    theirs = make(held)
    for _ in range(3):
        gradients = [random.standard_normal(weight.shape) for weight in held]
        optimizer.apply(
            [ops.convert_to_tensor(gradient.astype("float32")) for gradient in gradients],
            network.trainable_variables,
        )
        for weight, gradient in zip(held, gradients, strict=True):
            weight.grad = torch.tensor(gradient)
        theirs.step()
    for ours, wanted in zip(network.trainable_variables, held, strict=True):
        np.testing.assert_allclose(double(ours), wanted.numpy(), rtol=1e-5, atol=1e-6)
