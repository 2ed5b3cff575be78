"""Copies of models whose modules hold functions, lists and dicts that refer to other modules."""

import functools
from collections import OrderedDict, deque
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ModelError
from normwise.surgery.core.shadow_copy import shadow_copy

X = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def model() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()


def by_a_closure() -> nn.Module:
    """As libraries wrap a forward pass for mixed precision."""
    one = model()
    old = one.forward

    @functools.wraps(old)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return old(*args, **kwargs) * 2

    one.forward = forward
    return one


def by_a_default() -> nn.Module:
    one = model()
    one.forward = lambda x, old=one.forward: old(x) * 2
    return one


def by_a_keyword_default() -> nn.Module:
    one = model()

    def forward(x: Tensor, *, old: Any = one.forward) -> Tensor:
        return old(x) * 2

    one.forward = forward
    return one


def by_a_partial() -> nn.Module:
    one = model()
    one.forward = functools.partial(lambda old, x: old(x) * 2, one.forward)
    return one


def by_a_method() -> nn.Module:
    one = model()
    old = one.forward
    one.forward = (lambda self, x: old(x) * 2).__get__(one)
    return one


def by_itself() -> nn.Module:
    """A function that refers to itself, too."""
    one = model()

    def forward(x: Tensor, again: bool = True) -> Tensor:
        return forward(x, False) * 2 if again else nn.Sequential.forward(one, x)

    one.forward = forward
    return one


GLOBAL: dict[str, Any] = {}


def by_a_global() -> nn.Module:
    """A function whose module is a global variable, as in a script."""
    names: dict[str, Any] = {"one": model()}
    exec("old = one.forward\none.forward = lambda x: old(x) * factor\nfactor = 2", names)
    GLOBAL.update(names=names)
    return names["one"]


WAYS = [by_a_closure, by_a_default, by_a_keyword_default, by_a_partial, by_a_method, by_itself, by_a_global]


@pytest.mark.parametrize("build", WAYS)
def test_a_copy_has_functions_that_call_its_own_modules(build: Any) -> None:
    old = build()
    expected = old(X)
    new, report = normwise.convert(old, "instance", example=X)
    assert isinstance(new.get_submodule("1"), nn.InstanceNorm2d)
    assert "; the forward that was set on the model calls it" in report.changes[0].detail
    with torch.no_grad():
        new.get_parameter("1.weight").zero_()
        new.get_parameter("1.bias").fill_(3.0)
    assert torch.equal(new(X), torch.full_like(expected, 6.0))
    assert torch.equal(old(X), expected)


@pytest.mark.parametrize("build", WAYS)
def test_every_operation_computes_the_same_with_such_functions(build: Any) -> None:
    old = build()
    expected = old(X)
    for new in (
        normwise.accelerate(old, X)[0],
        normwise.fold(old, X, timed=False)[0],
        normwise.surgery.remove_biases(old, X)[0],
    ):
        torch.testing.assert_close(new(X), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(old(X), expected)


def test_a_global_that_changes_later_is_seen_by_the_copy() -> None:
    old = by_a_global()
    new, _ = normwise.accelerate(old, X)
    expected = old(X)
    GLOBAL["names"]["factor"] = 4
    torch.testing.assert_close(new(X), 2 * expected)


class Owner:
    """An object that keeps a function of the model, and has no copy."""

    def __init__(self, forward: Any) -> None:
        self.forward = forward

    def __deepcopy__(self, memo: Any) -> "Owner":
        return self


@pytest.mark.parametrize(
    "operate",
    [
        lambda one: normwise.convert(one, "instance", example=X),
        lambda one: normwise.accelerate(one, X),
        lambda one: normwise.fold(one, X, timed=False),
        lambda one: normwise.surgery.remove_biases(one, X),
    ],
    ids=["convert", "accelerate", "fold", "remove_biases"],
)
def test_a_copy_that_calls_the_given_model_by_an_object_is_refused(operate: Any) -> None:
    one = model()
    owner = Owner(one.forward)
    one.forward = lambda x: owner.forward(x)
    expected = one(X)
    with pytest.raises(ModelError, match=r"calls (Conv2d '0' of the given one|modules of this model)"):
        operate(one)
    assert torch.equal(one(X), expected)


def test_a_twin_has_lists_and_dicts_of_its_own() -> None:
    old = model()
    shared: list[Any] = [old[1]]
    old.log, old.table, old.queue = [1], OrderedDict(a=1), deque([1])
    old.blocks, old[0].blocks = shared, shared
    new: Any = shadow_copy(old)
    new.log.append(2)
    new.table["b"] = 2
    new.queue.append(2)
    assert (old.log, old.table, old.queue) == ([1], OrderedDict(a=1), deque([1]))
    assert new.blocks[0] is new[1]
    assert new.blocks is new[0].blocks
    assert old.blocks[0] is old[1]


def test_a_model_that_caches_in_evaluation_is_accelerated() -> None:
    class Caching(nn.Module):
        """As LeViT, which keeps its attention's biases."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
            self.shift, self.cache = nn.Parameter(torch.ones(4, 1, 1)), {}

        def forward(self, x: Tensor) -> Tensor:
            if self.training or "shift" not in self.cache:
                shift = self.shift * 2
                if not self.training:
                    self.cache["shift"] = shift
            else:
                shift = self.cache["shift"]
            return self.act(self.bn(self.conv(x))) + shift

    old = Caching().eval()
    new, report = normwise.accelerate(old, X)
    assert report.layers[0].replaced
    assert report.left_out == ""
    assert (old.cache, new.cache) == ({}, {})
    torch.testing.assert_close(new(X), old(X))
    assert new.cache is not old.cache
