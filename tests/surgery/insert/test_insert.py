"""BN into networks without: where it goes and where not, and what stays."""

import copy
import math
import pickle
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import normwise
from normwise.errors import ArgumentError, ModelError
from normwise.records import Insertion
from normwise.surgery.insert.layer_with_norm import LayerWithNorm

X = 3 + torch.randn(16, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Net(nn.Module):
    """Layers ``a``, ``b`` and ``last``, and an activation, in a forward of the given kind."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **more: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.last = nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1), nn.Conv1d(4, 3, 1)
        self.relu, self.how = nn.ReLU(), forward
        for name, module in more.items():
            self.add_module(name, module)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


def _plain() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 8, 3), nn.ReLU(), nn.Conv1d(8, 6, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5),
        nn.Tanh(), nn.Linear(5, 2),
    ).double()  # fmt: skip


def _written() -> Any:
    """A forward of its own, with functions for activations."""
    return Net(_written_forward)


def _written_forward(net: Any, x: Tensor) -> Tensor:
    return net.last(F.relu(net.b(F.relu(net.a(x)))))


def _insert(model: nn.Module, example: Any, **options: Any) -> tuple[Any, Insertion]:
    return normwise.insert(model, example, **options)


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _details(report: Insertion) -> dict[str, str]:
    return {change.path: change.detail for change in report.changes if not change.changed}


def _inserted(report: Insertion) -> list[str]:
    return [change.path for change in report.changes if change.changed]


def _norms(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def test_in_a_sequence_norms_are_the_next_entries_and_cancelled_biases_go() -> None:
    new, report = _insert(_plain(), X)
    assert [name for name, _ in new.named_children()] == [
        "0", "0_norm", "1", "2", "2_norm", "3", "4", "5", "5_norm", "6", "7",
    ]  # fmt: skip
    assert [layer.bias is None for layer in new if isinstance(layer, (nn.Conv1d, nn.Linear))] == [
        True
    ] * 3 + [False]
    assert (report.added, report.removed) == (2 * (8 + 6 + 5), 8 + 5)
    assert sum(p.numel() for p in new.parameters()) - sum(p.numel() for p in _plain().parameters()) == 25


def test_elsewhere_a_pair_takes_the_place_of_the_layer() -> None:
    new, report = _insert(_written(), X)
    assert _inserted(report) == ["a", "b"]
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
    new, report = _insert(model, x, data=x)
    assert type(new[1]) is kind
    assert new[1].num_features == 6
    assert report.values == x.shape[0] * layer(x)[0, 0].numel()
    torch.testing.assert_close(new.eval()(x), model(x))


@pytest.mark.parametrize("after_activation", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "build", [_plain, lambda: Net(lambda net, x: net.last(net.relu(net.a(x))))], ids=["sequence", "own"]
)
def test_with_data_the_function_stays_on_all_inputs(build: Any, after_activation: bool) -> None:
    model = build()
    new, report = _insert(model, X, data=X.split(5), after_activation=after_activation)
    other = 7 * torch.randn_like(X)
    torch.testing.assert_close(new.eval()(other), model.eval()(other), rtol=1e-9, atol=1e-9)
    assert report.output_error < 1e-9
    assert "evaluation stays, but for rounding" in str(report)
    assert _inserted(report)


def test_statistics_are_those_of_all_batches_and_the_last_counts_by_its_size() -> None:
    model = _plain()
    new, report = _insert(model, X, data=[X[:9], X[9:15], X[15:]], after_activation=True)
    seen = model[:2](X)
    norm = new[2]
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2)))
    torch.testing.assert_close(norm.running_var, seen.var((0, 2)))
    torch.testing.assert_close(norm.weight, (seen.var((0, 2)) + norm.eps).sqrt())
    torch.testing.assert_close(norm.bias, seen.mean((0, 2)))
    assert report.values == 16


def test_training_begins_where_the_old_model_was_if_a_batch_is_all_data() -> None:
    model = _plain()
    new, _ = _insert(model, X, data=X)
    # Batches are normalised with the biased variance, running ones are unbiased: 1/32 of the variance at the last.
    torch.testing.assert_close(new.train()(X), model(X), rtol=0.05, atol=0.05)


def test_statistics_are_those_of_evaluation_and_nothing_of_the_model_moves() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Conv1d(4, 4, 1), nn.ReLU(), nn.Conv1d(4, 2, 1)
    ).double()
    state = _state(model)
    new, _ = _insert(model, X, data=X.split(4), after_activation=True)
    torch.testing.assert_close(_state(model), state, rtol=0, atol=0)
    torch.testing.assert_close(new[4].running_mean, model.eval()[:4](X).mean((0, 2)))


def test_a_sequence_that_is_not_called_as_one_keeps_its_indices() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.last(net.sequence[1](net.sequence[0](x)))

    model: Any = Net(forward, sequence=nn.Sequential(nn.Conv1d(4, 4, 1), nn.ReLU()))
    new, report = _insert(model, X, data=X)
    assert _inserted(report) == ["sequence.0"]
    assert isinstance(new.sequence[0], LayerWithNorm)
    torch.testing.assert_close(new.eval()(X), model.eval()(X), rtol=0, atol=1e-9)


def test_without_data_layers_are_new_and_the_report_says_how_far_outputs_move() -> None:
    model = _plain()
    new, report = _insert(model, X)
    for norm in _norms(new):
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert torch.equal(norm.bias, torch.zeros_like(norm.bias))
    expected, got = model.eval()(X), new.eval()(X)
    assert report.output_error == pytest.approx(((got - expected).abs().max() / expected.abs().max()).item())
    model.train()
    got = new.train()(X)
    assert report.training_error == pytest.approx(
        ((got - expected).abs().max() / expected.abs().max()).item()
    )
    assert report.training_error > 0.1
    assert report.values == 0
    assert "train the model before it is used" in str(report)


@pytest.mark.parametrize(
    ("forward", "path", "reason"),
    [
        (lambda net, x: net.last(net.a(x)), "last", "it gives the model's output"),
        (lambda net, x: torch.softmax(net.last(net.a(x)), 1), "last", "it gives the model's output"),
        (lambda net, x: (net.last(net.a(x)), net.b(x).relu()), "b", "it gives the model's output"),
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
    new, report = _insert(model, X)
    assert reason in _details(report)[path]
    assert "a" in _inserted(report) or path == "a"
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


def test_an_example_with_one_value_a_channel_tells_nothing_of_training() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    _, report = _insert(model, torch.ones(1, 4))
    assert math.isnan(report.training_error)
    assert "as in training" not in str(report)


def test_a_layer_in_two_places_is_left_with_the_reason() -> None:
    # Called in one of them, and in the other one not.
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.last(net.a(net.b(x)))

    model: Any = Net(forward)
    model.spare = nn.Sequential(model.b)
    _, report = _insert(model, X)
    assert "a part of 2 modules" in _details(report)["b"]


def test_a_transformer_layer_of_torch_is_left() -> None:
    transformer = nn.TransformerEncoderLayer(6, 2, batch_first=True)
    model = nn.Sequential(
        nn.Sequential(nn.Conv1d(4, 4, 1), nn.ReLU()), nn.ReLU(), transformer, nn.Conv1d(4, 2, 1)
    )
    _, report = _insert(model.double(), X)
    assert _inserted(report) == ["0.0"]
    assert "part of TransformerEncoderLayer '2'" in _details(report)["2.linear1"]


def test_not_in_recurrent_cells_but_behind_them() -> None:
    new, report = _insert(Cell().double(), X)
    assert _inserted(report) == ["before"]
    assert "called 6 times, as in a recurrent network" in _details(report)["step"]
    assert type(new.rnn) is nn.GRUCell


def test_no_place_at_all_is_an_error_with_the_reasons() -> None:
    with pytest.raises(
        ModelError, match=r"no place for a BN layer\n0 \(Linear\): left as it is, it gives the model's output"
    ):
        _insert(nn.Sequential(nn.Linear(4, 2)), torch.ones(3, 4))
    with pytest.raises(ModelError, match="no convolution or linear layer"):
        _insert(nn.Sequential(nn.ReLU()), torch.ones(3, 4))


def test_a_second_time_there_is_no_place_left() -> None:
    with pytest.raises(ModelError, match="normalises it"):
        _insert(_insert(_plain(), X)[0], X)
    with pytest.raises(ModelError, match="normalises it"):
        _insert(_insert(_plain(), X, after_activation=True)[0], X)


def test_a_layer_without_weights_yet_is_named() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(ModelError, match="'0' has no weights yet"):
        _insert(model, torch.ones(3, 4))
    assert isinstance(model[0], nn.LazyLinear)


class TestAfterTheActivation:
    def test_norms_stand_behind_it_and_biases_stay(self) -> None:
        new, report = _insert(_plain(), X, after_activation=True)
        assert [name for name, module in new.named_children() if module in _norms(new)] == [
            "1_norm",
            "3_norm",
            "6_norm",
        ]
        assert new[0].bias is not None
        assert report.removed == 0
        assert str(report.changes[0]) == "0 (Conv1d): BatchNorm1d '1_norm' behind '1'"

    def test_in_a_forward_of_its_own_a_pair_takes_its_place(self) -> None:
        new, _ = _insert(Net(lambda net, x: net.last(net.relu(net.a(x)))), X, after_activation=True)
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
        new, report = _insert(model, X, after_activation=True)
        assert reason in _details(report)["b"]
        assert _inserted(report) == ["a"]
        assert isinstance(new.other, LayerWithNorm)


def test_the_given_model_and_the_random_state_are_left_alone() -> None:
    model = _plain()
    model[1].eval()
    modes, seed, state = [m.training for m in model.modules()], torch.random.get_rng_state(), _state(model)
    kept = [(type(module), dict(module._modules), dict(module._forward_hooks)) for module in model.modules()]
    new, _ = _insert(model, X, data=[X, 2 * X])
    assert [(type(m), dict(m._modules), dict(m._forward_hooks)) for m in model.modules()] == kept
    assert [m.training for m in model.modules()] == modes
    torch.testing.assert_close(_state(model), state, rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), seed)
    assert not {id(p) for p in model.parameters()} & {id(p) for p in new.parameters()}


def test_in_place_it_is_the_same_model_and_function() -> None:
    model = _written()
    expected, weight = model.eval()(X), model.a.weight
    same, _ = _insert(model, X, data=X, inplace=True)
    assert same is model
    assert model.a.weight is weight
    assert not model.a.layer._forward_hooks
    torch.testing.assert_close(model.eval()(X), expected, rtol=0, atol=1e-9)


def test_norms_are_in_the_mode_of_their_layers_and_of_their_type() -> None:
    model = _plain().to(torch.float32)
    model[2].eval()
    new, _ = _insert(model, X.float())
    assert [norm.training for norm in _norms(new)] == [True, False, True]
    assert {p.dtype for p in new.parameters()} == {torch.float32}


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], ArgumentError, "0 values a channel"),
        ([X[:1, :, :5]], ArgumentError, "1 values a channel behind '2"),
        ([X, X[:, :3]], ModelError, "fails on batch 1"),
        ([X, X * torch.nan], ModelError, "not finite"),
    ],
    ids=["none", "one value", "wrong", "not finite"],
)
def test_wrong_data_are_an_error_and_nothing_is_changed(
    inplace: bool, data: Any, error: type[Exception], message: str
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ReLU(), nn.Conv1d(8, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
                          nn.Flatten(), nn.Linear(6, 2)).double()  # fmt: skip
    state, children = _state(model), dict(model.named_modules())
    with pytest.raises(error, match=message):
        _insert(model, X, data=data, inplace=inplace)
    torch.testing.assert_close(_state(model), state, rtol=0, atol=0)
    assert dict(model.named_modules()) == children
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_data_are_left_alone_by_a_forward_that_changes_its_input() -> None:
    data, example = [X.clone()], X.clone()
    _insert(Net(lambda net, x: net.last(net.relu(net.a(x.mul_(2))))), example, data=data)
    assert torch.equal(data[0], X)
    assert torch.equal(example, X)


def test_what_can_not_be_traced_gets_norms_all_the_same() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.last(net.a(x).relu()) if x.sum() > 0 else x

    new, report = _insert(Net(forward), X, data=X)
    assert str(report.changes[0]) == "a (Conv1d): BatchNorm1d 'a.norm' behind it, its bias removed"
    assert new.a.layer.bias is None


def test_a_bias_that_a_hook_sees_stays_with_the_reason() -> None:
    model = _plain()
    model[0].register_forward_hook(lambda _, args, output: 2 * output)
    new, report = _insert(model, X, data=X)
    assert new[0].bias is not None
    assert "its bias stays: Conv1d '0' has hooks" in report.changes[0].detail
    torch.testing.assert_close(new.eval()(X), model.eval()(X), rtol=0, atol=1e-9)


def test_norms_join_the_weight_where_it_is_computed_from_another_parameter() -> None:
    model = _plain()
    parametrizations.weight_norm(model[0])
    magnitude = model[0].parametrizations.weight.original0
    optimizer = torch.optim.SGD([{"params": [model[0].bias]}, {"params": [magnitude]}], lr=0.1)
    new, _ = _insert(model, X, data=X, optimizer=optimizer)
    expected = [new[0].parametrizations.weight.original0, new[1].weight, new[1].bias]
    assert [id(p) for p in optimizer.param_groups[1]["params"]] == [id(p) for p in expected]


def test_data_that_raise_leave_no_hooks_behind() -> None:
    def broken() -> Any:
        yield X
        raise OSError("disk")

    model = _plain()
    with pytest.raises(OSError, match="disk"):
        _insert(model, X, data=broken())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def _by_class(net: Any, x: Tensor) -> Tensor:
    y = net.last(F.relu(net.a(x)))
    return y if type(net.a) is nn.Conv1d else y + 1


def _by_length(net: Any, x: Tensor) -> Tensor:
    y = net.last(net.sequence(x))
    return y if len(net.sequence) == 2 else y + 1


@pytest.mark.parametrize("forward", [_by_class, _by_length])
def test_a_model_that_asks_for_more_than_outputs_is_proven_wrong_and_restored(forward: Any) -> None:
    model: Any = Net(forward, sequence=nn.Sequential(nn.Conv1d(4, 4, 1), nn.ReLU()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    modules, parameters = list(model.named_modules()), list(model.named_parameters())
    with pytest.raises(ModelError, match="outputs differ"):
        _insert(model, X, data=X, inplace=True, optimizer=optimizer)
    assert list(model.named_modules()) == modules
    assert [(name, id(p)) for name, p in model.named_parameters()] == [
        (name, id(p)) for name, p in parameters
    ]
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for _, p in parameters]


class TestStates:
    @pytest.mark.parametrize("build", [_plain, _written])
    def test_a_state_dict_of_before_can_be_loaded(self, build: Any) -> None:
        model = build()
        new, _ = _insert(model, X)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        missing, unexpected = new.load_state_dict(model.state_dict(), strict=False)
        weights = [[p for p in m.parameters() if p.dim() > 1] for m in (new, model)]
        torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
        assert all("norm" in name for name in missing)
        assert all(name.endswith("bias") for name in unexpected)

    @pytest.mark.parametrize("build", [_plain, _written])
    def test_its_own_state_dict_goes_round_strictly(self, build: Any) -> None:
        new, _ = _insert(build(), X, data=X)
        other, _ = _insert(build(), X)
        other.load_state_dict(new.state_dict())
        torch.testing.assert_close(other.eval()(X), new.eval()(X), rtol=0, atol=0)

    @pytest.mark.parametrize(
        "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"]
    )
    @pytest.mark.parametrize("build", [_plain, _written])
    def test_it_can_be_copied_and_pickled(self, build: Any, copied: Any) -> None:
        new, _ = _insert(build(), X, data=X)
        torch.testing.assert_close(copied(new).eval()(X), new.eval()(X), rtol=0, atol=0)

    @pytest.mark.parametrize("build", [_plain, _written])
    def test_it_can_be_compiled_as_a_whole(self, build: Any) -> None:
        new, _ = _insert(build(), X, data=X)
        compiled = torch.compile(new.eval(), backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(X), new(X), rtol=0, atol=0)


class TestOptimiser:
    def test_norms_join_the_group_of_the_weight_and_biases_leave(self) -> None:
        model = _plain()
        optimizer = torch.optim.SGD(
            [
                {"params": [model[0].bias, model[5].bias]},
                {"params": [model[0].weight, model[2].weight], "lr": 0.2},
                {"params": [model[7].weight], "lr": 0.3},
            ],
            lr=0.1,
        )
        new, _ = _insert(model, X, optimizer=optimizer)
        layers = dict(new.named_children())
        expected = [[], ["0", "2", "0_norm", "0_norm", "2_norm", "2_norm"], ["7"]]
        names = {id(p): name.split(".")[0] for name, p in new.named_parameters()}
        assert [[names[id(p)] for p in g["params"]] for g in optimizer.param_groups] == expected
        # The optimiser doesn't have the weight of 5, and so not its γ and β.
        assert layers["5_norm"].weight.requires_grad

    def test_names_are_the_new_models(self) -> None:
        model = _written()
        optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
        new, _ = _insert(model, X, optimizer=optimizer)
        assert set(optimizer.param_groups[0]["param_names"]) == {name for name, _ in new.named_parameters()}

    def test_momentum_goes_along(self) -> None:
        model = _plain()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        model(X).square().mean().backward()
        optimizer.step()
        before = optimizer.state[model[0].weight]["exp_avg"].clone()
        new, _ = _insert(model, X, optimizer=optimizer)
        assert torch.equal(optimizer.state[new[0].weight]["exp_avg"], before)

    def test_it_is_left_as_it_was_on_an_error(self) -> None:
        model = _plain()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(ArgumentError):
            _insert(model, X, data=[], optimizer=optimizer)
        assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in model.parameters()]


@pytest.mark.parametrize("data", [None, X], ids=["new", "from data"])
def test_a_few_steps_of_training_make_it_better(data: Tensor | None) -> None:
    model = _plain()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    new, _ = _insert(model, X, data=data, optimizer=optimizer)
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
    model = _written()
    new, _ = _insert(model, X, data=X)
    folded, report = normwise.fold(new.eval(), X, timed=False)
    assert all(change.changed for change in report.changes)
    torch.testing.assert_close(folded(X), model(X), rtol=0, atol=1e-9)


_LINEAR = (nn.Linear, nn.modules.conv._ConvNd)


def _before_an_activation(model: nn.Module) -> int:
    """The linear layers that are called once, right before an activation, in a sequence before the last one."""
    calls = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    found = 0
    for sequence in list(model.children())[:-1]:
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
        new, report = _insert(model, x, data=[x, x[:2]], after_activation=after)
    except ModelError as error:
        if expected_places > 0 or "no place for a BN layer" not in str(error):
            raise
        return
    assert len(_norms(new)) == len(_inserted(report)) >= max(1, expected_places)
    linear = [path for path, layer in model.named_modules() if isinstance(layer, _LINEAR)]
    assert set(linear) <= {change.path for change in report.changes}
    assert report.output_error < 1e-9
    other = 2 * torch.randn_like(x)
    with torch.no_grad():
        expected, got = model(other), new.eval()(other)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
