"""Whatever a forward pass changes in a model is put back; a copy of the model is one of all its parts."""

import functools
import weakref
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError, ModelError
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.statistics.preserve.snapshot import Snapshot
from normwise.surgery.core.example_arguments import example_arguments
from normwise.surgery.core.shadow_copy import shadow_copy
from normwise.surgery.proof.on_example import comparisons, output_difference


class _Writes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("steps", torch.zeros(2))
        self.log: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.steps = self.steps + 1
        self.log.append(1)
        with torch.no_grad():
            self.linear.weight += 1
        self.new = 1
        return self.linear(x)


@pytest.mark.parametrize("exception", [None, KeyboardInterrupt])
def test_writes_modes_hooks_and_classes_are_put_back(exception: Any) -> None:
    model = _Writes()
    steps: Any
    steps, log, weight = model.steps, model.log, model.linear.weight.clone()
    hooks = model._forward_hooks

    def change() -> None:
        with unchanged(model):
            model.eval()
            model(torch.randn(2, 3))
            model.register_forward_hook(lambda *_: None)
            model.linear.__class__ = nn.Identity  # pyright: ignore[reportAttributeAccessIssue] (any class will do)
            model.linear.weight.requires_grad_(False)
            if exception is not None:
                raise exception

    with nullcontext() if exception is None else pytest.raises(exception):
        change()
    assert model.steps is steps
    assert steps.tolist() == [0, 0]
    assert model.log is log
    assert log == []
    assert torch.equal(model.linear.weight, weight)
    assert model.linear.weight.requires_grad
    assert type(model.linear) is nn.Linear
    assert model._forward_hooks is hooks
    assert not hooks
    assert model.training
    assert not hasattr(model, "new")


def test_what_nobody_wrote_into_is_not_written_into() -> None:
    model = nn.BatchNorm1d(3)
    versions = [tensor._version for tensor in (*model.parameters(), *model.buffers())]
    with unchanged(model):
        model(torch.randn(4, 3))
    with unchanged(model):
        model.eval()(torch.randn(4, 3))
    now = [tensor._version for tensor in (*model.parameters(), *model.buffers())]
    assert now[:2] == versions[:2]
    assert model.get_buffer("running_mean").tolist() == [0, 0, 0]


def test_a_snapshot_sees_changes() -> None:
    model = _Writes()
    snapshot = Snapshot(model, values=False)
    assert not snapshot.is_changed()
    model.log.append(1)
    assert snapshot.is_changed()
    snapshot.restore()
    assert not snapshot.is_changed()
    model.steps += 1
    assert snapshot.is_changed()


class _Holds(nn.Module):
    """A module by its name, in a list, in a dict, in a bound method and in a partial."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.listed, self.keyed = [self.linear], {"a": (self.linear,)}
        self.method, self.part = self.linear.forward, functools.partial(self.linear.forward)
        self.linear.register_forward_hook(self.note)
        self.noted = 0

    def note(self, *_: Any) -> None:
        self.noted += 1

    def forward(self, x: Tensor) -> Tensor:
        act: Any = getattr(self, "act", self.linear)
        return act(x)


def test_a_twin_refers_to_its_own_modules() -> None:
    model = _Holds()
    other: Any = shadow_copy(model)
    assert other.linear is not model.linear
    assert other.listed[0] is other.keyed["a"][0] is other.linear
    assert other.method.__self__ is other.part.func.__self__ is other.linear
    other.linear(torch.randn(2, 3))
    assert (model.noted, other.noted) == (0, 1)
    assert model.listed[0] is model.method.__self__ is model.linear


def _by_closure(model: Any) -> None:
    plain = model.forward
    model.forward = lambda x: plain(x)


def _by_default(model: Any) -> None:
    def forward(x: Tensor, inner: Any = model.linear) -> Tensor:
        return inner(x)

    model.forward = forward


def _by_nested_closure(model: Any) -> None:
    def run(x: Tensor) -> Tensor:
        return model.linear(x)

    model.act = functools.partial(lambda x: run(x))


@pytest.mark.parametrize("replace", [_by_closure, _by_default, _by_nested_closure])
def test_a_function_on_an_instance_calls_the_modules_of_a_twin(replace: Any) -> None:
    model = _Holds()
    replace(model)
    other = shadow_copy(model)
    called: list[nn.Module] = []
    for module in (*model.modules(), *other.modules()):
        module.register_forward_pre_hook(lambda module, _: called.append(module))
    other(torch.randn(2, 3))
    assert set(called) <= set(other.modules())
    assert other.get_submodule("linear") in called


def test_references_that_are_dead_are_left_alone() -> None:
    model: Any = _Holds()
    owner = functools.partial(int)
    model.owner = weakref.proxy(owner)
    del owner
    with unchanged(model), unchanged(shadow_copy(model)):
        model.eval()
    assert model.training
    with pytest.raises(ReferenceError):
        model.owner.func  # noqa: B018 (it is what raises)


def test_functions_that_know_no_module_are_kept() -> None:
    model: Any = _Holds()
    model.forward = lambda x: torch.relu(x)
    assert torch.equal(shadow_copy(model)(torch.ones(1)), torch.ones(1))


def _one() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh())


@pytest.mark.parametrize("example", [torch.zeros(4, 3), torch.full((4, 3), 0.0).double().float()])
def test_zeros_are_joined_by_random_numbers(example: Tensor) -> None:
    first, second = comparisons(_one(), ((example,), {}))
    assert torch.equal(first[0][0], example)
    assert second[0][0].std() > 0.1
    other = _one()
    with torch.no_grad():
        other[0].weight *= 2
    assert output_difference(_one(), other, ((example,), {})) > 0.01


def test_an_example_that_tells_is_enough() -> None:
    assert len(comparisons(_one(), ((torch.randn(4, 3),), {}))) == 1


def test_zeros_that_can_not_be_varied_are_refused() -> None:
    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.any():
                raise ValueError("zeros only")
            return x

    with pytest.raises(ModelError, match="one value each, on which nothing can be proven"):
        comparisons(Picky(), ((torch.zeros(4, 3),), {}))


def test_an_example_is_copied_and_checked() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    ((copy,), _) = example_arguments(nn.Identity(), x)
    assert torch.equal(copy, x)
    assert copy.data_ptr() != x.data_ptr()
    with torch.inference_mode():
        ((copy,), _) = example_arguments(nn.Identity(), torch.ones(2, 2))
    assert not copy.is_inference()
    with pytest.raises(ArgumentError, match="has no values: its shape is"):
        example_arguments(nn.Identity(), torch.empty(0, 3))
    nearly = torch.tensor([1.0, torch.nan])
    assert example_arguments(nn.Identity(), nearly)[0][0].isnan().sum() == 1
