"""Refusals of port: each error names the layer, and the target is left as it was."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

import normwise as nw
from normwise.errors import ArgumentError, ModelError
from tests.keras.porting.port_cases import NOT_ON_JAX

L = keras.layers
pytestmark = NOT_ON_JAX


def _torch(
    *, kernel: int = 3, stride: int = 1, extra: bool = False, activation: type[nn.Module] = nn.ReLU
) -> nn.Module:
    torch.manual_seed(0)
    more = [nn.Linear(3, 3)] if extra else []
    model = nn.Sequential(
        nn.Conv2d(2, 4, kernel, stride=stride),
        nn.BatchNorm2d(4),
        activation(),
        nn.Flatten(),
        nn.Linear(64, 3),
        *more,
    )
    return model.eval()


def _keras(pool: bool = False) -> Any:
    layers = [
        L.Conv2D(4, 3, name="conv"),
        L.BatchNormalization(name="norm"),
        L.ReLU(),
        L.Flatten(),
        L.Dense(3, name="dense"),
    ]
    return keras.Sequential([keras.Input((6, 6, 2)), *layers])


def _with_state(**values: float) -> nn.Module:
    model = _torch()
    with torch.no_grad():
        for name, value in values.items():
            getattr(model.get_submodule("1"), name).fill_(value)
    return model


def _bytes(model: Any) -> list[bytes]:
    return [np.array(keras.ops.convert_to_numpy(weight)).tobytes() for weight in model.weights]


def _sequence(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*layers)


_REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "number": (
        lambda: _torch(extra=True),
        r"the source has 4 layers with weights and the target 3; expected as many; '5' \(Linear\) of the source is the "
        "first without a counterpart",
    ),
    "order": (
        _sequence(nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3)),
        r"2 layers with weights and the target 3.* '0' \(BatchNorm2d\) of the source meets 'conv' \(Conv2D\)",
    ),
    "shape": (
        _sequence(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)),
        r"'4' \(Linear\) and 'dense' \(Dense\): weight has the shape \(5, 64\) in the source and \(3, 64\)",
    ),
    "kind": (
        _sequence(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
        r"'1' \(GroupNorm\) of the source meets 'norm' \(BatchNormalization\) of the target",
    ),
    "stride": (
        _sequence(nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3)),
        r"'0' \(Conv2d\) and 'conv' \(Conv2D\): stride is \(2, 2\) in the source and \(1, 1\) in the target",
    ),
    "swapped": (
        lambda: _with_state(running_mean=2.0, running_var=-0.5),
        r"'1' \(BatchNorm2d\): its running variance has negative values, down to -0.5, and its running mean has none: "
        "the two are swapped",
    ),
    "negative": (lambda: _with_state(running_mean=-2.0, running_var=-0.5), "negative values, down to -0.5$"),
    "nan": (
        lambda: _with_state(running_mean=float("nan")),
        r"'1' \(BatchNorm2d\): its running statistics are not finite",
    ),
    "activation": (
        lambda: _torch(activation=nn.Tanh),
        r"'4' \(Linear\) and 'dense' \(Dense\) give other outputs.*their inputs differ",
    ),
    "end": (
        lambda: nn.Sequential(*_torch().children(), nn.Flatten(0)),
        "all layers give the same outputs on the example, but the models do not",
    ),
    "unknown": (
        _sequence(nn.MultiheadAttention(4, 2)),
        r"no known counterpart in Keras: '0' \(MultiheadAttention\)",
    ),
    "none": (nn.ReLU, "the source has no layers with weights"),
}


@pytest.mark.parametrize(("make", "said"), _REFUSED.values(), ids=list(_REFUSED))
def test_what_does_not_fit_is_named_and_the_target_left_as_it_was(
    make: Callable[[], nn.Module], said: str
) -> None:
    target = _keras()
    before = _bytes(target)
    with pytest.raises(ModelError, match=said):
        nw.port(make(), target, example=torch.randn(2, 2, 6, 6))
    assert _bytes(target) == before
    assert (target.get_layer("norm").epsilon, target.get_layer("norm").momentum) == (1e-3, 0.99)


def test_a_layer_that_computes_otherwise_is_named_with_its_difference() -> None:
    conv = nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")
    target = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            L.Conv2D(4, 3, padding="same", name="conv"),
            L.BatchNormalization(),
            L.GlobalMaxPooling2D(),
        ]
    )
    source = nn.Sequential(conv, nn.BatchNorm2d(4), nn.AdaptiveMaxPool2d(1), nn.Flatten()).eval()
    said = r"'0' \(Conv2d\) and 'conv' \(Conv2D\) give other outputs .* differ by .* of the largest.*their inputs agree"
    with pytest.raises(ModelError, match=said):
        nw.port(source, target)


def test_another_eps_or_momentum_is_an_error_when_it_may_not_be_converted() -> None:
    target = _keras()
    said = r"'1' \(BatchNorm2d\) and 'norm' \(BatchNormalization\): ε is 1e-05 in the source and 0.001 in the target"
    target.get_layer("norm").momentum = 0.9
    with pytest.raises(ModelError, match=said):
        nw.port(_torch(), target, convert_settings=False)
    target.get_layer("norm").epsilon, target.get_layer("norm").momentum = 1e-5, 0.99
    with pytest.raises(ModelError, match=r"momentum is 0.1 in the source and 0.01 in the target"):
        nw.port(_torch(), target, convert_settings=False)


def test_a_torch_target_is_left_as_it_was_too() -> None:
    target = _torch(activation=nn.Tanh).train()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(ModelError, match="give other outputs"):
        nw.port(_keras(), target)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
    assert all(module.training for module in target.modules())
    assert (target.get_submodule("1").eps, target.get_submodule("1").momentum) == (1e-5, 0.1)


def test_a_failing_model_is_named() -> None:
    with pytest.raises(ModelError, match="the torch model fails on the example"):
        nw.port(_torch(), _keras(), example=torch.randn(2, 3, 6, 6))
    with pytest.raises(ModelError, match=r"^the Keras model fails on the example: (?!Exception)"):
        nw.port(
            _torch(),
            _keras(),
            example=torch.randn(2, 2, 6, 6),
            target_example=np.eye(6, dtype="float32")[None, :, :, None].repeat(3, -1),
        )


def test_a_bias_is_dropped_only_where_it_adds_nothing() -> None:
    target = keras.Sequential([keras.Input((4,)), L.Dense(3, use_bias=False, name="dense")])
    layer = nn.Linear(4, 3)
    with pytest.raises(ModelError, match=r"'0' \(Linear\) and 'dense' \(Dense\): the target has no bias"):
        nw.port(nn.Sequential(layer), target)
    nn.init.zeros_(layer.bias)
    assert nw.port(nn.Sequential(layer), target).output_error < 1e-6


def test_an_unbuilt_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"has no weights yet; build the Keras model"):
        nw.port(_torch(), keras.Sequential([L.Conv2D(4, 3), L.BatchNormalization()]))
    with pytest.raises(ModelError, match=r"has no shapes yet; call the model on a batch"):
        nw.port(nn.Sequential(nn.LazyConv2d(4, 3)), _keras())


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda: L.GRU(3, reset_after=False), "reset_after=False, and torch's GRU resets after the product"),
        (
            lambda: L.LSTM(3, activation="relu"),
            "the activations relu and sigmoid, where torch has tanh and sigmoid",
        ),
    ],
)
def test_a_recurrent_layer_that_torch_lacks_is_refused(layer: Callable[[], Any], said: str) -> None:
    source = keras.Sequential([keras.Input((4, 2)), layer()])
    kind = nn.GRU if "GRU" in said else nn.LSTM
    with pytest.raises(ModelError, match=re.escape(said)):
        nw.port(source, kind(2, 3, batch_first=True))


def test_wrong_arguments_are_named() -> None:
    model = _torch()
    with pytest.raises(ArgumentError, match="got torch and torch"):
        nw.port(model, model)
    with pytest.raises(ArgumentError, match="got keras and a list"):
        nw.port(_keras(), [])
    with pytest.raises(ArgumentError, match="leave one out"):
        nw.port(model, _keras(), values_per_channel=32, batch_size=32)
    with pytest.raises(ArgumentError, match="values_per_channel= must be a whole number of values, got 1"):
        nw.port(model, _keras(), values_per_channel=1)
    with pytest.raises(ArgumentError, match="by='size'; expected"):
        nw.port(model, _keras(), by="size")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentError, match="the example is empty"):
        nw.port(model, _keras(), example=torch.zeros(0, 2, 6, 6))
