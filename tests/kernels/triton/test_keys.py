"""Keys of plans: calls that need other kernels have other keys, and calls that differ in values only the same one."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call
from normwise.kernels.triton.keys import NO_SOURCE, OUTPUT, RESIDUAL, backward_key, forward_key

LAYOUT = (4, 3, 8, False)


def _at_an_offset(*shape: int) -> torch.Tensor:
    return torch.randn(torch.Size(shape).numel() + 1)[1:].view(shape)


def _call() -> Call:
    mean, var, weight, bias = torch.rand(4, 3).unbind()
    return Call(torch.randn(4, 3, 8), mean, var, weight, bias, True, counter=torch.tensor(0), layout=LAYOUT)


OTHERS: dict[str, dict[str, Any]] = {
    "layout": {"layout": (4, 3, 8, True)},
    "type": {"x": torch.randn(4, 3, 8).bfloat16()},
    "type of the weight": {"weight": torch.rand(3).bfloat16()},
    "no weight": {"weight": None},
    "no bias": {"bias": None},
    "no statistics": {"running_mean": None, "running_var": None},
    "evaluation": {"training": False},
    "average": {"momentum": None},
    "no counter": {"counter": None},
    "activation": {"activation": "relu"},
    "residual": {"residual": torch.randn(4, 3, 8)},
    "residual at an offset": {"residual": _at_an_offset(4, 3, 8)},
    "mask": {"mask": torch.ones(4, 8, dtype=torch.bool)},
    "at an offset": {"x": _at_an_offset(4, 3, 8)},
}


def test_calls_with_other_kernels_have_other_keys() -> None:
    keys = [forward_key(replace(_call(), **other), -1, 2) for other in ({}, *OTHERS.values())]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("other", [{}, {"momentum": 0.3}, {"eps": 1e-3}, {"inplace": True}], ids=str)
def test_calls_with_other_values_have_the_same_key(other: dict[str, Any]) -> None:
    assert forward_key(replace(_call(), **other), -1, 2) == forward_key(_call(), -1, 2)


def test_the_average_needs_statistics_and_training() -> None:
    average = replace(_call(), momentum=None)
    assert forward_key(average, -1, 2).average
    assert not forward_key(replace(average, running_mean=None, running_var=None), -1, 2).average
    assert not forward_key(replace(average, training=False), -1, 2).average


@pytest.mark.parametrize(
    ("activation", "source", "kind"),
    [(None, False, NO_SOURCE), ("relu", False, NO_SOURCE), ("relu", True, OUTPUT), ("silu", True, RESIDUAL)],
)
def test_a_backward_pass_knows_what_tells_the_slope(activation: str | None, source: bool, kind: int) -> None:
    x = torch.randn(4, 3, 8)
    call = BackwardCall(
        x, None, None, None, x if source else None, x, None, activation=activation, layout=LAYOUT
    )
    assert backward_key(call, -1, 2).source == kind


def test_backward_passes_with_other_kernels_have_other_keys() -> None:
    x = torch.randn(4, 3, 8)
    call = BackwardCall(x, torch.rand(3), torch.rand(3), None, None, x, None, layout=LAYOUT)
    others: list[dict[str, Any]] = [
        {},
        {"layout": (4, 3, 8, True)},
        {"x": x.half()},
        {"weight": None},
        {"bias": torch.rand(3).half()},
        {"training": False},
        {"activation": "leaky_relu"},
        {"activation": "leaky_relu", "from_output": True},
        {"activation": "silu", "slope_source": x},
        {"mask": torch.ones(4, 8, dtype=torch.bool)},
        {"grad_y": _at_an_offset(4, 3, 8)},
        {"x": _at_an_offset(4, 3, 8)},
    ]
    keys = [backward_key(replace(call, **other), -1, 2) for other in others]
    assert len(set(keys)) == len(keys)
