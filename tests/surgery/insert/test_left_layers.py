"""Layers that get no norm, and the reasons that are given."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.errors import ModelError
from tests.surgery.insert.networks import Net, X, insert_norms, inserted_paths, plain_net, reasons_of


@pytest.mark.parametrize(
    ("forward", "path", "reason"),
    [
        (lambda net, x: net.last(net.a(x)), "last", "its output reaches the model's"),
        (lambda net, x: torch.softmax(net.last(net.a(x)), 1), "last", "its output reaches the model's"),
        (lambda net, x: (net.last(net.a(x)), net.b(x).relu()), "b", "its output reaches the model's"),
        (lambda net, x: net.last(net.b(net.b(net.a(x)))), "b", "it is called 2 times, as in a recurrent network"),
        (lambda net, x: net.last(net.a(x)), "b", "the example does not reach it"),
        (lambda net, x: net.last(net.norm(net.a(net.b(x)))), "a", "BatchNorm1d 'norm' normalises it"),
        (lambda net, x: net.last(net.a(_attended(net.b, x))), "b", "as in attention"),
        (lambda net, x: net.last(net.a(net.turned(x.mT).mT)), "turned", "channels on the last axis"),
        (lambda net, x: net.last(net.a(x) + net.b(x[0])), "b", "no batch axis"),
        (lambda net, x: net.last(net.a(x) + _without_gradients(net.b, x)), "b", "autograd does not see its output"),
        (lambda net, x: net.last(net.a(net.mha(x.mT, x.mT, x.mT)[0].mT)), "mha.out_proj", "MultiheadAttention 'mha'"),
        (lambda net, x: net.last(F.layer_norm(net.a(net.b(x)), (6,))), "a", "a function normalises it"),
        (lambda net, x: net.last(F.layer_norm(2 * net.a(net.b(x)), (6,))), "a", "normalises it"),
        (lambda net, x: net.last(F.batch_norm(net.a(net.b(x)), None, None, training=True)), "a", "normalises it"),
    ],
    ids=["output", "behind softmax", "second output", "called twice", "not called", "norm", "attention", "last axis",
         "no batch", "no gradients", "attention of torch", "layer norm function", "layer norm behind a product",
         "batch norm function"],
)  # fmt: skip
def test_other_places_are_left_with_the_reason(forward: Any, path: str, reason: str) -> None:
    more = {
        "norm": nn.BatchNorm1d(4),
        "turned": nn.Linear(4, 4),
        "mha": nn.MultiheadAttention(4, 2, batch_first=True),
    }
    model = Net(forward, **more)
    new, report = insert_norms(model, X)
    assert reason in reasons_of(report)[path]
    assert "a" in inserted_paths(report) or path == "a"
    assert type(new.get_submodule(path)) is type(model.get_submodule(path))


def _attended(layer: nn.Module, x: Tensor) -> Tensor:
    y = layer(x)
    return torch.softmax(y @ x.mT, -1) @ x


@torch.no_grad()
def _without_gradients(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x)


class Cell(nn.Module):
    """A recurrent network, written out, and one of torch's cells of which the linear layer is a subclass's."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.step, self.out = nn.Linear(4, 4), nn.Linear(8, 4), nn.Linear(4, 2)
        self.rnn = nn.GRUCell(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x[..., 0])
        for t in range(x.shape[2]):
            h = self.rnn(torch.tanh(self.step(torch.cat([x[..., t], h], 1))), h)
        return self.out(torch.relu(self.before(h)))


def test_a_layer_in_two_places_is_left_with_the_reason() -> None:
    # Called in one of them, and in the other one not.
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.last(net.a(net.b(x)))

    model: Any = Net(forward)
    model.spare = nn.Sequential(model.b)
    _, report = insert_norms(model, X)
    assert "a part of 2 modules" in reasons_of(report)["b"]


def test_a_transformer_layer_of_torch_is_left() -> None:
    transformer = nn.TransformerEncoderLayer(6, 2, batch_first=True)
    model = nn.Sequential(
        nn.Sequential(nn.Conv1d(4, 4, 1), nn.ReLU()), nn.ReLU(), transformer, nn.Conv1d(4, 2, 1)
    )
    _, report = insert_norms(model.double(), X)
    assert inserted_paths(report) == ["0.0"]
    assert "part of TransformerEncoderLayer '2'" in reasons_of(report)["2.linear1"]


def test_not_in_recurrent_cells_but_behind_them() -> None:
    new, report = insert_norms(Cell().double(), X)
    assert inserted_paths(report) == ["before"]
    assert "called 6 times, as in a recurrent network" in reasons_of(report)["step"]
    assert type(new.rnn) is nn.GRUCell


def test_no_place_at_all_is_an_error_with_the_reasons() -> None:
    with pytest.raises(
        ModelError,
        match=r"no place for a BN layer\n0 \(Linear\): left as it is, its output reaches the model's",
    ):
        insert_norms(nn.Sequential(nn.Linear(4, 2)), torch.ones(3, 4))
    with pytest.raises(ModelError, match="no convolution or linear layer"):
        insert_norms(nn.Sequential(nn.ReLU()), torch.ones(3, 4))


def test_a_second_time_there_is_no_place_left() -> None:
    with pytest.raises(ModelError, match="normalises it"):
        insert_norms(insert_norms(plain_net(), X)[0], X)
    with pytest.raises(ModelError, match="normalises it"):
        insert_norms(insert_norms(plain_net(), X, after_activation=True)[0], X)


def test_a_layer_without_weights_yet_is_named() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(ModelError, match="'0' has no weights yet"):
        insert_norms(model, torch.ones(3, 4))
    assert isinstance(model[0], nn.LazyLinear)
