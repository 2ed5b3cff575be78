"""An optimiser that was moved goes on as if nothing had happened."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR
from torch.utils import _pytree as pytree

from normwise.errors import ArgumentError
from normwise.surgery.core.move_optimizer import move_optimizer

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))


def _groups(model: nn.Module) -> list[dict[str, Any]]:
    decayed = [p for p in model.parameters() if p.dim() > 1]
    return [
        {"params": decayed, "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() == 1], "lr": 0.02},
    ]


MAKERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "momentum": lambda model: SGD(model.parameters(), lr=0.1, momentum=0.9),
    "adam": lambda model: Adam(model.parameters(), lr=0.1),
    "amsgrad, named": lambda model: Adam(model.named_parameters(), lr=0.1, amsgrad=True),
    "groups": lambda model: SGD(_groups(model), lr=0.1, momentum=0.9, nesterov=True),
    "lbfgs": lambda model: LBFGS(model.parameters(), lr=0.1, max_iter=2),
}


def _train(model: nn.Module, optimizer: Optimizer, steps: int) -> None:
    def loss() -> float:
        optimizer.zero_grad()
        value = model(X).square().sum()
        value.backward()
        return value.item()

    for _ in range(steps):
        optimizer.step(loss)


def _paired(old: nn.Module, new: nn.Module) -> dict[nn.Parameter, nn.Parameter | None]:
    return dict(zip(old.parameters(), new.parameters(), strict=True))


def _members(optimizer: Optimizer) -> list[list[int]]:
    return [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups]


def _ids(parameters: Iterable[Tensor]) -> list[int]:
    return [id(parameter) for parameter in parameters]


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_training_goes_on_to_the_last_bit(make: Callable[[nn.Module], Optimizer]) -> None:
    straight, first = _network(), _network()
    optimizer = make(straight)
    _train(straight, optimizer, 6)
    moving = make(first)
    _train(first, moving, 3)
    second, left = copy.deepcopy(first), copy.deepcopy(first.state_dict())
    move_optimizer(moving, _paired(first, second))
    _train(second, moving, 3)
    for name, tensor in second.state_dict().items():
        assert torch.equal(tensor, straight.state_dict()[name]), name
        assert torch.equal(first.state_dict()[name], left[name]), name


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_its_state_dict_stays(make: Callable[[nn.Module], Optimizer]) -> None:
    model = _network()
    optimizer = make(model)
    _train(model, optimizer, 2)
    before = copy.deepcopy(optimizer.state_dict())
    move_optimizer(optimizer, _paired(model, copy.deepcopy(model)))
    got, expected = (pytree.tree_flatten(state) for state in (optimizer.state_dict(), before))
    assert got[1] == expected[1]
    assert all(
        torch.equal(a, b) if isinstance(a, Tensor) else a == b
        for a, b in zip(got[0], expected[0], strict=True)
    )


def test_what_is_dropped_goes_with_its_state_and_what_is_added_joins_its_companion() -> None:
    model = _network()
    optimizer = SGD(_groups(model), lr=0.1, momentum=0.9)
    _train(model, optimizer, 2)
    bias, last = model.get_parameter("0.bias"), model.get_parameter("3.bias")
    new = nn.Parameter(torch.zeros(5))
    move_optimizer(optimizer, {bias: None}, {new: last})
    assert bias not in optimizer.state
    assert new not in optimizer.state
    assert id(bias) not in _members(optimizer)[1]
    assert _members(optimizer)[1][-1] == id(new)
    new.grad = torch.ones(5)
    optimizer.step()
    torch.testing.assert_close(new.detach(), torch.full((5,), -0.02))


def test_a_companion_may_be_one_that_was_moved_there() -> None:
    model, new = _network(), _network()
    optimizer, extra = SGD(_groups(model), lr=0.1), nn.Parameter(torch.zeros(1))
    move_optimizer(optimizer, _paired(model, new), {extra: new.get_parameter("0.bias")})
    assert _members(optimizer)[1][-1] == id(extra)


def test_parameters_that_it_does_not_have_are_ignored() -> None:
    model, other = _network(), _network()
    optimizer = Adam(model[3].parameters())
    before = _members(optimizer)
    extra = nn.Parameter(torch.zeros(1))
    move_optimizer(optimizer, _paired(other, _network()), {extra: model.get_parameter("0.weight")})
    assert _members(optimizer) == before


def test_two_may_change_places() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
    optimizer = SGD([{"params": [first]}, {"params": [second], "lr": 1.0}], lr=0.1)
    move_optimizer(optimizer, {first: second, second: first})
    assert _members(optimizer) == [_ids([second]), _ids([first])]


def test_a_group_left_empty_stays_for_schedulers() -> None:
    model = _network()
    optimizer = SGD(_groups(model), lr=0.1, momentum=0.9)
    scheduler = StepLR(optimizer, 1, 0.5)
    move_optimizer(optimizer, dict.fromkeys(model.parameters()))
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.01]


def test_names_follow() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    optimizer = SGD(model.named_parameters(), lr=0.1)
    extra = nn.Parameter(torch.zeros(5))
    names = {extra: "norm.weight", model.get_parameter("1.weight"): "last.weight"}
    move_optimizer(
        optimizer,
        {model.get_parameter("0.bias"): None},
        {extra: model.get_parameter("0.weight")},
        names=names,
    )
    assert optimizer.param_groups[0]["param_names"] == ["0.weight", "last.weight", "1.bias", "norm.weight"]


@pytest.mark.parametrize(
    ("moved", "added", "said"),
    [
        (lambda a, b: {a: b}, lambda a, b: {}, r"a parameter of shape \(2,\) twice"),
        (lambda a, b: {}, lambda a, b: {b: a}, r"twice; give each parameter once"),
        (lambda a, b: {a: nn.Parameter(torch.ones(3))}, lambda a, b: {}, r"0.weight of the optimiser .* shape"),
        (lambda a, b: {a: nn.Parameter(torch.ones(2).half())}, lambda a, b: {}, "dtype torch.float16: its state"),
        (lambda a, b: {a: None}, lambda a, b: {nn.Parameter(torch.ones(4)): b}, r"\(4,\) has no name; pass it"),
    ],
    ids=["moved twice", "added twice", "shape", "dtype", "no name"],
)  # fmt: skip
def test_where_anything_is_wrong_nothing_is_changed(moved: Any, added: Any, said: str) -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
    optimizer = SGD([("0.weight", first), ("1.weight", second)], lr=0.1, momentum=0.9)
    first.grad, second.grad = torch.ones(2), torch.ones(2)
    optimizer.step()
    before, state = _members(optimizer), dict(optimizer.state)
    with pytest.raises(ArgumentError, match=said):
        move_optimizer(optimizer, moved(first, second), added(first, second), names={second: "2.weight"})
    assert _members(optimizer) == before
    assert _ids(optimizer.state) == _ids(state)
    assert optimizer.param_groups[0]["param_names"] == ["0.weight", "1.weight"]
