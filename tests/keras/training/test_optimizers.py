"""The optimisers of runs in Keras update weights as those of runs in torch do."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from normwise.keras.surgery.arrays import double
from normwise.keras.untyped import ops
from normwise.records import RunConfig
from normwise.training.keras.compile_network import compile_network

Array = NDArray[np.float64]
_LR = 0.1
_SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.2},
    "adamw without decay": {"optimizer": "adamw"},
}


def _updated(weight: Array, gradients: list[Array], settings: dict[str, Any]) -> Iterator[Array]:
    """Yield the weight after each step, by the formulas that torch's documentation has of its optimisers."""
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        if settings["optimizer"] == "sgd":
            first = settings.get("momentum", 0.0) * first + gradient
            weight = weight - _LR * first
        else:
            weight = weight * (1 - _LR * settings.get("weight_decay", 0.0))
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            scale = np.sqrt(second / (1 - 0.999**step)) + 1e-8
            weight = weight - _LR * first / (1 - 0.9**step) / scale
        yield weight


@pytest.mark.parametrize("settings", _SETTINGS.values(), ids=_SETTINGS)
def test_weights_move_by_the_optimisers_formula(
    settings: dict[str, Any], config: Callable[..., RunConfig]
) -> None:
    random = np.random.default_rng(0)
    network: Any = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = compile_network(network, config(lr=_LR, **settings))
    begun = [double(weight) for weight in network.trainable_variables]
    gradients = [[random.standard_normal(weight.shape) for weight in begun] for _ in range(3)]
    for of_step in gradients:
        optimizer.apply(
            [ops.convert_to_tensor(gradient.astype("float32")) for gradient in of_step],
            network.trainable_variables,
        )
    for index, (ours, weight) in enumerate(zip(network.trainable_variables, begun, strict=True)):
        *_, wanted = _updated(weight, [of_step[index] for of_step in gradients], settings)
        # Adam's 1 − 0.999 in float32 has a relative error of 6e-5, and each of three steps is about 0.1.
        np.testing.assert_allclose(double(ours), wanted, rtol=1e-5, atol=2e-5)


# torch.optim imports Triton, which must not be in one process with TensorFlow: both bring LLVM.
@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="torch.optim is not imported beside TensorFlow"
)
@pytest.mark.parametrize("settings", _SETTINGS.values(), ids=_SETTINGS)
def test_the_formulas_are_those_of_torch(settings: dict[str, Any]) -> None:
    import torch

    random = np.random.default_rng(0)
    begun = random.standard_normal(5)
    gradients = [random.standard_normal(5) for _ in range(3)]
    held = torch.tensor(begun)
    make: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    rest = {"weight_decay": 0.0} | {name: value for name, value in settings.items() if name != "optimizer"}
    optimizer = make[settings["optimizer"]]([held], lr=_LR, **rest)
    for gradient, wanted in zip(gradients, _updated(begun, gradients, settings), strict=True):
        held.grad = torch.tensor(gradient)
        optimizer.step()
        np.testing.assert_allclose(held.numpy(), wanted, rtol=1e-12)
