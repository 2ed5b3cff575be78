"""Norm layers of other libraries, known without them."""

from typing import Any

import pytest
import torch
from torch import nn

from normwise.layers import kind_of, kind_of_norm
from normwise.layers.foreign import adapter_of
from tests.support.foreign_layers import (
    FROZEN,
    BatchNormAct2d,
    FrozenBatchNormAct2d,
    SyncBatchNormAct,
    randomise,
)


@pytest.mark.parametrize("library", FROZEN)
def test_constants_are_known_with_the_epsilon_that_they_compute_with(library: str) -> None:
    make, eps = FROZEN[library]
    kind = kind_of_norm(randomise(make(5)))
    assert (kind.family, kind.traits.dimensions, kind.frozen, kind.channels) == ("frozen", (2,), True, 5)
    assert kind.known is None
    assert kind.eps == eps


@pytest.mark.parametrize("variance", [1e-6, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize("library", ["maskrcnn-benchmark", "a fork of maskrcnn-benchmark"])
def test_an_epsilon_is_found_wherever_it_shows(library: str, variance: float) -> None:
    make, eps = FROZEN[library]
    layer = make(4)
    layer.running_var.fill_(variance)
    # In float32 a variance of 100 and 100.00001 are one.
    assert kind_of_norm(layer).eps == eps or variance == 100.0


@pytest.mark.parametrize(
    ("layer", "family", "known"),
    [
        (BatchNormAct2d(3), "batch", nn.BatchNorm2d),
        (SyncBatchNormAct(3), "batch", nn.SyncBatchNorm),
        (FrozenBatchNormAct2d(3), "frozen", None),
    ],
    ids=["batch", "synchronised", "frozen"],
)
def test_timms_layers_with_what_follows(layer: Any, family: str, known: type[Any] | None) -> None:
    kind = kind_of_norm(layer)
    assert (kind.family, kind.known) == (family, known)
    assert kind.followers == {"drop": layer.drop, "act": layer.act}
    assert kind.adapter is not None
    assert kind.forward_of is None
    assert not kind.exact


def test_a_class_of_that_name_from_elsewhere_is_a_subclass_like_any() -> None:
    other: Any = type("BatchNormAct2d", (nn.BatchNorm2d,), {"__module__": "mine"})(3)
    assert kind_of_norm(other).adapter is None


def test_a_subclass_counts_and_one_without_what_follows_does_not() -> None:
    layer: Any = type("Mine", (BatchNormAct2d,), {"__module__": "mine"})(3)
    assert adapter_of(layer) is not None
    del layer.act
    assert adapter_of(layer) is None


def test_a_module_with_other_buffers_is_none() -> None:
    layer = FROZEN["DETR"][0](3)
    del layer.running_var
    assert adapter_of(layer) is None
    assert kind_of(nn.Conv2d(3, 3, 1)) is None


def test_the_trial_of_an_epsilon_calls_no_hooks() -> None:
    layer = FROZEN["maskrcnn-benchmark"][0](3)
    layer.register_forward_hook(lambda *_: pytest.fail("called"))
    assert kind_of_norm(layer).eps == 0.0
    layer.forward = lambda x: pytest.fail("called")
    assert torch.equal(layer.running_mean, torch.zeros(3))
