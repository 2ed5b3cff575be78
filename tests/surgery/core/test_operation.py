"""The course of an operation: nothing is handed out uncompared, and all is as it was when anything fails."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from normwise.errors import ModelError
from normwise.surgery.core.decision import Decision, LeftError, decide
from normwise.surgery.core.operation import Operation, operation

CHANGED = [Decision("0", "Linear", True, "another bias")]


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh()).eval()


def _with_bias(model: nn.Module, value: float) -> nn.Parameter:
    layer = model.get_submodule("0")
    layer.register_parameter("bias", nn.Parameter(layer.get_parameter("bias").detach() + value))
    return layer.get_parameter("bias")


def _compare(running: Operation) -> None:
    differs = "differs by {error:.0e}, and {allowed:.0e} is allowed"
    running.compare_outputs(1e-3, fails="it fails: {error}", differs=differs)


def _operate(model: nn.Module, change: Callable[[Operation], Any], **options: Any) -> None:
    with operation(model, torch.randn(4, 2), **options) as running:
        change(running)


@pytest.mark.parametrize("inplace", [True, False])
def test_a_change_that_was_not_compared_is_taken_back(inplace: bool) -> None:
    model = _model()
    bias = model[0].bias

    def change(running: Operation) -> None:
        _with_bias(running.new, 0)
        running.decisions = CHANGED

    with pytest.raises(ModelError, match="was not compared with the old one"):
        _operate(model, change, inplace=inplace)
    assert model[0].bias is bias


def test_without_a_change_or_an_example_nothing_has_to_be_compared() -> None:
    model = _model()
    with operation(model, torch.randn(4, 2), inplace=True) as running:
        running.decisions = [Decision("0", "Linear", False, "of no use")]
    with operation(model, None, inplace=True) as running:
        running.decisions = CHANGED
    assert running.changes[0].detail == "another bias"
    with pytest.raises(TypeError, match="no example"):
        _ = running.arguments


def test_outputs_that_are_too_far_are_refused_and_the_optimiser_stays() -> None:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    members, bias = list(optimizer.param_groups[0]["params"]), model[0].bias

    def change(running: Operation) -> None:
        _with_bias(running.new, 1)
        _compare(running)

    with pytest.raises(ModelError, match=r"differs by \de[-+]\d+, and 1e-03 is allowed"):
        _operate(model, change, inplace=True, optimizer=optimizer)
    assert model[0].bias is bias
    assert all(a is b for a, b in zip(optimizer.param_groups[0]["params"], members, strict=True))


def test_a_new_model_that_fails_is_refused_in_the_operation_s_words() -> None:
    def fail(*_: Any) -> None:
        raise KeyError("no such thing")

    def change(running: Operation) -> None:
        running.new.register_forward_hook(fail)
        _compare(running)

    with pytest.raises(ModelError, match="it fails: 'no such thing'"):
        _operate(_model(), change, inplace=False)


def test_the_optimiser_drops_what_was_removed_and_takes_what_was_added() -> None:
    model = _model()
    optimizer = torch.optim.SGD([{"params": [model[0].weight]}, {"params": [model[0].bias]}], lr=0.1)
    with operation(model, torch.randn(4, 2), inplace=False, optimizer=optimizer) as running:
        weight, bias = running.new.parameters()
        extra = nn.Parameter(torch.zeros(3))
        running.new.get_submodule("0").register_parameter("extra", extra)
        running.removed.add(bias)
        running.added[extra] = weight
    groups = [group["params"] for group in optimizer.param_groups]
    assert [len(group) for group in groups] == [2, 0]
    assert groups[0][0] is weight
    assert groups[0][1] is extra


def test_an_obstacle_becomes_a_decision_with_its_reason() -> None:
    def refuse() -> str:
        raise LeftError("it is made of glass")

    layer = nn.ReLU()
    assert decide("a.b", layer, lambda: "gone") == Decision("a.b", "ReLU", True, "gone")
    left = decide("a.b", layer, refuse)
    assert left == Decision("a.b", "ReLU", False, "it is made of glass")
    assert str(left.record()) == "a.b (ReLU): left as it is, it is made of glass"
