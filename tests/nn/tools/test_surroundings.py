"""Our layers in torch's own tools: leaves of graphs, compiled by torch.jit.script, not exchanged."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import fusion

import normwise
from normwise.errors import ArgumentError
from normwise.functional import ACTIVATIONS

X = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))


LAYERS: list[tuple[Callable[[], nn.Module], torch.Tensor]] = [
    (lambda: normwise.nn.BatchNorm1d(3), X[:, :, 0]),
    (lambda: normwise.nn.BatchNorm2d(3, activation="relu"), X),
    (lambda: normwise.nn.BatchNorm3d(3, inplace=True), X[:, :, None]),
    (lambda: normwise.nn.SequenceBatchNorm(5, batch_first=True), X[:, 0]),
    (lambda: normwise.nn.GhostBatchNorm2d(3, virtual_batch_size=2), X),
    (lambda: normwise.nn.BatchRenorm2d(3), X),
    (lambda: normwise.nn.SyncBatchNorm(3), X),
]


@pytest.mark.parametrize(("build", "x"), LAYERS)
def test_a_layer_is_a_leaf_of_a_traced_graph(build: Callable[[], nn.Module], x: torch.Tensor) -> None:
    model = nn.Sequential(build(), nn.Hardtanh())
    graph = torch.fx.symbolic_trace(model)
    assert [str(node.target) for node in graph.graph.nodes if node.op == "call_module"] == ["0", "1"]
    assert torch.equal(graph.eval()(x.clone()), model.eval()(x.clone()))


def test_a_recurrent_layer_is_a_leaf_of_a_traced_graph() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = normwise.nn.BatchNormLSTM(5, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output, _ = self.rnn(x)
            return output[:, -1]

    model = Last().eval()
    graph = torch.fx.symbolic_trace(model)
    assert [str(node.target) for node in graph.graph.nodes if node.op == "call_module"] == ["rnn"]
    assert torch.equal(graph(X[:, 0]), model(X[:, 0]))


def test_a_residual_and_a_mask_stay_in_a_traced_graph() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = normwise.nn.BatchNorm2d(3, activation="relu")

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.bn(x, residual=x, mask=mask)

    model, mask = Model().eval(), torch.rand(4, 5, 5) > 0.5
    assert torch.equal(torch.fx.symbolic_trace(model)(X, mask), model(X, mask))


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_a_scripted_layer_computes_what_it_did(activation: str | None) -> None:
    layer = normwise.nn.BatchNorm2d(3, activation=activation)
    scripted: Any = torch.jit.script(copy.deepcopy(layer))
    torch.testing.assert_close(scripted(X, residual=X), layer(X, residual=X))
    torch.testing.assert_close(scripted.running_var, layer.running_var)
    mask = torch.rand(4, 5, 5, generator=torch.Generator().manual_seed(0)) > 0.5
    scripted.eval()
    layer.eval()
    torch.testing.assert_close(scripted(X, mask=mask), layer(X, mask=mask))


@pytest.mark.parametrize(
    "settings",
    [
        {"momentum": None},
        {"affine": False},
        {"bias": False},
        {"track_running_stats": False},
        {"eps": 0.1, "momentum": 0.5},
    ],
)
def test_a_scripted_layer_has_its_settings(settings: dict[str, Any]) -> None:
    layer = normwise.nn.BatchNorm2d(3, **settings)
    scripted: Any = torch.jit.script(copy.deepcopy(layer))
    for step in range(2):
        torch.testing.assert_close(scripted(X + step), layer(X + step))
    torch.testing.assert_close(scripted.eval()(X), layer.eval()(X))


def test_a_scripted_layer_can_be_saved() -> None:
    buffer = io.BytesIO()
    layer = normwise.nn.BatchNorm2d(3, activation="relu").eval()
    torch.jit.save(torch.jit.script(layer), buffer)
    buffer.seek(0)
    torch.testing.assert_close(torch.jit.load(buffer)(X), layer(X))


@pytest.mark.parametrize(
    "layer",
    [
        normwise.nn.BatchNormLSTM(3, 2),
        normwise.nn.SequenceBatchNorm(3),
        normwise.nn.GhostBatchNorm2d(3),
        normwise.nn.BatchRenorm2d(3),
        normwise.nn.SyncBatchNorm(3),
        normwise.convert(nn.Sequential(normwise.nn.BatchNorm2d(4, activation="relu")), "group")[0],
    ],
    ids=["recurrent", "sequence", "ghost", "renorm", "sync", "activated"],
)
def test_a_layer_that_cannot_be_scripted_says_what_to_do(layer: nn.Module) -> None:
    with pytest.raises(
        ArgumentError, match=r"trace the model, torch\.jit\.trace\(model, example\), or export it"
    ):
        torch.jit.script(layer)


FUSED = {
    "ours": lambda: normwise.nn.BatchNorm2d(3, activation="relu"),
    "ghost": lambda: normwise.nn.GhostBatchNorm2d(3, activation="relu"),
    "renorm": lambda: normwise.nn.BatchRenorm2d(3, activation="relu"),
    "sync": lambda: normwise.nn.SyncBatchNorm(3, activation="relu"),
    "converted": lambda: normwise.convert(
        nn.Sequential(normwise.nn.BatchNorm2d(3, activation="relu")), "torch"
    )[0].get_submodule("0"),
}


@pytest.mark.parametrize("build", FUSED.values(), ids=FUSED)
def test_conversion_to_synchronised_layers_does_not_drop_an_activation(build: Any) -> None:
    with pytest.raises(
        ArgumentError, match=r"would drop the activation 'relu' .*normwise\.convert\(model, \"sync\"\)"
    ):
        nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(build()))


@pytest.mark.parametrize("build", FUSED.values(), ids=FUSED)
def test_torchs_fusers_do_not_drop_an_activation(build: Any) -> None:
    with pytest.raises(ArgumentError, match=r"fuse_conv_bn_eval would drop .* use normwise\.fold"):
        fusion.fuse_conv_bn_eval(nn.Conv2d(3, 3, 1).eval(), build().eval())


def test_a_linear_layer_is_not_fused_with_an_activated_norm() -> None:
    norm = normwise.nn.BatchNorm1d(3, activation="relu").eval()
    with pytest.raises(ArgumentError, match="fuse_linear_bn_eval would drop"):
        fusion.fuse_linear_bn_eval(nn.Linear(3, 3).eval(), norm)


def test_a_layer_without_an_activation_can_be_synchronised_and_fused() -> None:
    layer = normwise.nn.BatchNorm2d(3)
    layer(X)
    expected = layer.eval()(X)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(layer)).eval()
    torch.testing.assert_close(synchronised(X), expected)
    conv = nn.Conv2d(3, 3, 1).eval()
    torch.testing.assert_close(fusion.fuse_conv_bn_eval(conv, layer)(X), layer(conv(X)))


def test_statistics_of_an_activated_layer_can_be_read() -> None:
    layer = normwise.nn.BatchNorm2d(3, activation="relu")
    assert torch.equal(layer.get_buffer("running_mean"), torch.zeros(3))
    assert layer.running_mean is layer.get_buffer("running_mean")
