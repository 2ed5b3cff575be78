"""Settings, ways to find counterparts, and what stays as it was."""

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import normwise as nw
from normwise.errors import ArgumentError, ModelError
from normwise.records import Porting, from_plain, to_plain
from tests.keras.porting.mlp import keras_mlp, mlp

L = keras.layers


def test_eps_and_momentum_become_the_targets() -> None:
    target = keras_mlp()
    report = nw.port(mlp(), target)
    norm = target.get_layer("norm")
    assert (norm.epsilon, norm.momentum) == (1e-5, 0.9)
    assert "norm -> norm (batch_norm): outputs differ by" in str(report)
    assert "ε 0.001 became 1e-05, momentum 0.99 became 0.9" in str(report)
    back = nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5, eps=0.1, momentum=0.5), nn.ReLU(), nn.Linear(5, 5)
    )
    nw.port(target, back)
    assert (back[1].eps, back[1].momentum) == (1e-5, 0.1)


def test_a_compiled_model_predicts_with_the_new_eps() -> None:
    source, target = mlp(), keras_mlp(epsilon=2.0)
    x = torch.randn(6, 4)
    target.compile(jit_compile=False)
    target.predict(x.numpy(), verbose=0)
    nw.port(source, target)
    with torch.no_grad():
        np.testing.assert_allclose(
            target.predict(x.numpy(), verbose=0), source.eval()(x), rtol=1e-4, atol=1e-5
        )


def test_momentum_none_needs_our_layer() -> None:
    source = mlp()
    vars(source.get_submodule("norm"))["momentum"] = None
    target = keras_mlp(momentum=None)
    nw.port(source, target)
    assert int(target.get_layer("norm").batches) == 3
    assert "'norm' keeps its momentum of 0.99" in str(nw.port(source, keras_mlp()))


def test_layers_are_found_by_name_whatever_their_order() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out, self.hidden, self.norm = nn.Linear(5, 5), nn.Linear(4, 5), nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.relu(self.norm(self.hidden(x))))

    for by in ("name", "order", {"out": "out", "hidden": "hidden", "norm": "norm"}):
        report = nw.port(Net(), keras_mlp(), by=by)
        assert [layer.target for layer in report.layers if layer.source == "out"] == ["out"]


@pytest.mark.parametrize(
    ("by", "error", "said"),
    [
        ("name", ModelError, r"no layer of the name of '0' \(Linear\).*by='order', or by=\{path"),
        (
            {"0": "hidden"},
            ModelError,
            r"by=\{...\} leaves out '1' \(BatchNorm1d\), '3' \(Linear\) of the source",
        ),
        (
            {"first": "hidden"},
            ArgumentError,
            r"by=\{...\} names 'first', which the source has not; it has 0, 1, 3",
        ),
    ],
)
def test_a_layer_without_a_counterpart_is_named(by: Any, error: type[Exception], said: str) -> None:
    source = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 5))
    with pytest.raises(error, match=said):
        nw.port(source, keras_mlp(), by=by)


def test_a_keras_model_with_mean_and_variance_swapped_is_named() -> None:
    source = keras_mlp()
    gamma, beta, _, _ = source.get_layer("norm").get_weights()
    source.get_layer("norm").set_weights([gamma, beta, np.full(5, 2.0), np.linspace(-1, 3, 5)])
    with pytest.raises(
        ModelError, match=r"'norm' \(BatchNormalization\): its running variance .* the two are swapped"
    ):
        nw.port(source, mlp())


def test_models_stay_as_they_were_but_for_weights() -> None:
    source, target = mlp().train(), keras_mlp()
    target.get_layer("norm").trainable = False
    before = {name: value.clone() for name, value in source.state_dict().items()}
    state = torch.get_rng_state()
    nw.port(source, target)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in source.modules())
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    assert not target.get_layer("norm").trainable
    assert not any("call" in vars(layer) for layer in target.layers)


def test_a_report_is_a_record() -> None:
    report = nw.port(mlp(), keras_mlp())
    assert from_plain(Porting, to_plain(report)) == report
