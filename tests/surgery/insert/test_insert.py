"""BN into networks without: where it goes."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.errors import ModelError
from normwise.surgery.insert.layer_with_norm import LayerWithNorm
from tests.support.networks import Block, Forked, Residual
from tests.surgery.insert.networks import (
    Net,
    X,
    insert_norms,
    inserted_paths,
    norms_of,
    plain_net,
    reasons_of,
    written_net,
)


def test_in_a_sequence_norms_are_the_next_entries_and_cancelled_biases_go() -> None:
    new, report = insert_norms(plain_net(), X)
    assert [name for name, _ in new.named_children()] == [
        "0", "0_norm", "1", "2", "2_norm", "3", "4", "5", "5_norm", "6", "7",
    ]  # fmt: skip
    assert [layer.bias is None for layer in new if isinstance(layer, (nn.Conv1d, nn.Linear))] == [
        True
    ] * 3 + [False]
    assert (report.added, report.removed) == (2 * (8 + 6 + 5), 8 + 5)
    assert sum(p.numel() for p in new.parameters()) - sum(p.numel() for p in plain_net().parameters()) == 25


def test_elsewhere_a_pair_takes_the_place_of_the_layer() -> None:
    new, report = insert_norms(written_net(), X)
    assert inserted_paths(report) == ["a", "b"]
    assert isinstance(new.a, LayerWithNorm)
    assert type(new.last) is nn.Conv1d
    assert new.a.out_channels == 4
    assert new.a.weight is new.a.layer.weight
    assert new.a.bias is None


@pytest.mark.parametrize(
    ("layer", "x", "kind"),
    [
        (nn.Linear(4, 6), torch.randn(5, 4), normwise.nn.BatchNorm1d),
        (nn.Conv1d(4, 6, 2), torch.randn(5, 4, 3), normwise.nn.BatchNorm1d),
        (nn.Conv2d(4, 6, 2, groups=2), torch.randn(5, 4, 3, 3), normwise.nn.BatchNorm2d),
        (nn.Conv3d(4, 6, 2), torch.randn(5, 4, 3, 3, 3), normwise.nn.BatchNorm3d),
        (nn.ConvTranspose1d(4, 6, 2), torch.randn(5, 4, 3), normwise.nn.BatchNorm1d),
        (nn.ConvTranspose2d(4, 6, 2), torch.randn(5, 4, 3, 3), normwise.nn.BatchNorm2d),
        (nn.ConvTranspose3d(4, 6, 2), torch.randn(5, 4, 3, 3, 3), normwise.nn.BatchNorm3d),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_the_norm_is_the_one_for_the_rank_of_the_output(
    layer: nn.Module, x: Tensor, kind: type[nn.Module]
) -> None:
    model = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    model(x)
    new, report = insert_norms(model, x, data=x)
    assert type(new[1]) is kind
    assert new[1].num_features == 6
    assert report.values == x.shape[0] * layer(x)[0, 0].numel()
    torch.testing.assert_close(new.eval()(x), model(x))


def test_a_sequence_that_is_not_called_as_one_keeps_its_indices() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.last(net.sequence[1](net.sequence[0](x)))

    model: Any = Net(forward, sequence=nn.Sequential(nn.Conv1d(4, 4, 1), nn.ReLU()))
    new, report = insert_norms(model, X, data=X)
    assert inserted_paths(report) == ["sequence.0"]
    assert isinstance(new.sequence[0], LayerWithNorm)
    torch.testing.assert_close(new.eval()(X), model.eval()(X), rtol=0, atol=1e-9)


class TestAfterTheActivation:
    def test_norms_stand_behind_it_and_biases_stay(self) -> None:
        new, report = insert_norms(plain_net(), X, after_activation=True)
        assert [name for name, module in new.named_children() if module in norms_of(new)] == [
            "1_norm",
            "3_norm",
            "6_norm",
        ]
        assert new[0].bias is not None
        assert report.removed == 0
        assert str(report.changes[0]) == "0 (Conv1d): BatchNorm1d '1_norm' behind '1'"

    def test_in_a_forward_of_its_own_a_pair_takes_its_place(self) -> None:
        new, _ = insert_norms(Net(lambda net, x: net.last(net.relu(net.a(x)))), X, after_activation=True)
        assert isinstance(new.relu, LayerWithNorm)
        assert type(new.relu.layer) is nn.ReLU
        assert type(new.a) is nn.Conv1d

    @pytest.mark.parametrize(
        ("forward", "reason"),
        [
            (lambda net, x: net.last(F.relu(net.b(net.other(net.a(x))))), "no activation that is a module"),
            (lambda net, x: net.last(net.relu(net.b(net.relu(net.other(net.a(x)))))), "is called 2 times"),
            (lambda net, x: net.last(net.relu(net.b(net.other(net.a(x)))[..., :3])), "sees another shape"),
            (
                lambda net, x: net.last(net.relu(y := net.b(net.other(net.a(x)))) + net.third(y)),
                "2 activations",
            ),
        ],
        ids=["function", "called twice", "another shape", "two"],
    )
    def test_where_none_can_stand_the_reason_is_given(self, forward: Any, reason: str) -> None:
        model = Net(forward, other=nn.Tanh(), third=nn.SiLU())
        new, report = insert_norms(model, X, after_activation=True)
        assert reason in reasons_of(report)["b"]
        assert inserted_paths(report) == ["a"]
        assert isinstance(new.other, LayerWithNorm)


def test_norms_are_in_the_mode_of_their_layers_and_of_their_type() -> None:
    model = plain_net().to(torch.float32)
    model[2].eval()
    new, _ = insert_norms(model, X.float())
    assert [norm.training for norm in norms_of(new)] == [True, False, True]
    assert {p.dtype for p in new.parameters()} == {torch.float32}


def test_what_can_not_be_traced_gets_norms_all_the_same() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.last(net.a(x).relu()) if x.sum() > 0 else x

    new, report = insert_norms(Net(forward), X, data=X)
    assert str(report.changes[0]) == "a (Conv1d): BatchNorm1d 'a.norm' behind it, its bias removed"
    assert new.a.layer.bias is None


def test_a_bias_that_a_hook_sees_stays_with_the_reason() -> None:
    model = plain_net()
    model[0].register_forward_hook(lambda _, args, output: 2 * output)
    new, report = insert_norms(model, X, data=X)
    assert new[0].bias is not None
    assert "its bias stays: Conv1d '0' has hooks" in report.changes[0].detail
    torch.testing.assert_close(new.eval()(X), model.eval()(X), rtol=0, atol=1e-9)


@pytest.mark.parametrize("data", [None, X], ids=["new", "from data"])
def test_a_few_steps_of_training_make_it_better(data: Tensor | None) -> None:
    model = plain_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    new, _ = insert_norms(model, X, data=data, optimizer=optimizer)
    target = X.mean(2)[:, :2]
    losses = []
    for _ in range(20):
        loss = F.mse_loss(new.train()(X), target)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None for p in new.parameters())


def test_what_was_inserted_can_be_folded_away_again() -> None:
    model = written_net()
    new, _ = insert_norms(model, X, data=X)
    folded, report = normwise.fold(new.eval(), X, timed=False)
    assert all(change.changed for change in report.changes)
    torch.testing.assert_close(folded(X), model(X), rtol=0, atol=1e-9)


_LINEAR = (nn.Linear, nn.modules.conv._ConvNd)


def _before_an_activation(model: nn.Module) -> int:
    """The linear layers called once, right before an activation, in a sequence whose output a later layer takes.

    What comes before trailing blocks with a shortcut reaches the output by these.
    """
    calls = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    found = 0
    parts = list(model.children())
    while parts and isinstance(parts[-1], (Residual, Block, Forked)):
        parts.pop()
    for sequence in parts[:-1]:
        if isinstance(sequence, nn.Sequential):
            found += sum(
                isinstance(first, _LINEAR) and isinstance(second, (nn.ReLU, nn.Tanh)) and calls[first] == 1
                for first, second in pairwise(sequence.children())
            )
    return found


@given(data=st.data(), after=st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_random_networks_compute_what_they_did(draw_network: Any, data: st.DataObject, after: bool) -> None:
    model, x = draw_network(data, batch_norm=False, dtypes=[torch.float64])
    expected_places = _before_an_activation(model)
    try:
        new, report = insert_norms(model, x, data=[x, x[:2]], after_activation=after)
    except ModelError as error:
        if expected_places > 0 or "no place for a BN layer" not in str(error):
            raise
        return
    assert len(norms_of(new)) == len(inserted_paths(report)) >= max(1, expected_places)
    linear = [path for path, layer in model.named_modules() if isinstance(layer, _LINEAR)]
    assert set(linear) <= {change.path for change in report.changes}
    assert report.output_error < 1e-9
    other = 2 * torch.randn_like(x)
    with torch.no_grad():
        expected, got = model(other), new.eval()(other)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
