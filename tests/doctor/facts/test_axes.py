"""Axes that are followed through operations that move values."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.axes import moved_axes, origins


@pytest.mark.parametrize(
    ("name", "move", "axes"),
    [
        ("transpose", lambda x: x.transpose(1, 2), (0, 2, 1)),
        ("permute", lambda x: x.permute(2, 0, 1), (2, 0, 1)),
        ("mT", lambda x: x.mT, (0, 2, 1)),
        ("reshape", lambda x: x.reshape(-1, 4), (None, 2)),
        ("flatten", lambda x: x.flatten(1), (0, None)),
        ("unsqueeze", lambda x: x.unsqueeze(1), (0, None, 1, 2)),
        ("view", lambda x: x.view(2, 3, 2, 2), (0, 1, None, None)),
        ("to", lambda x: x.to("cpu"), (0, 1, 2)),
        ("float", lambda x: x.float(), (0, 1, 2)),
        ("expand", lambda x: x.expand(5, 2, 3, 4), (None, 0, 1, 2)),
    ],
)
def test_an_operation_tells_which_axis_is_which(
    name: str, move: Callable[[Tensor], Tensor], axes: tuple[int | None, ...]
) -> None:
    x = torch.randn(2, 3, 4)
    assert moved_axes(name, move, (x,), {}) == axes


def test_axes_are_unknown_of_what_cannot_be_tried() -> None:
    def fails(x: Tensor) -> Tensor:
        raise ValueError(str(x.sum().item()))

    assert moved_axes("view", fails, (torch.ones(2, 3),), {}) == ()
    assert moved_axes("view", lambda: None, (), {}) == ()


class _Moves(nn.Module):
    def __init__(self, move: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.move, self.norm = nn.Linear(4, 6), move, nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.move(self.linear(x)))


@pytest.mark.parametrize(
    ("move", "axis"),
    [
        (lambda h: h.transpose(1, 2), 2),
        (lambda h: h, 1),
        (lambda h: h.flatten(0, 1), 2),
        (lambda h: h.mT.contiguous().float(), 2),
        (lambda h: h.view(6, 6, 5).transpose(1, 2).transpose(1, 2), None),
    ],
)  # fmt: skip
def test_the_axis_of_a_norm_is_followed_to_the_layer_before(
    move: Callable[[Tensor], Tensor], axis: int | None
) -> None:
    steps = 5 if axis is None else 6
    facts = Facts.of_model(_Moves(move), [torch.randn(6, steps, 4)])
    (norm,) = facts.flow.norms()
    assert [(op.name, at) for op, at in origins(norm, 1)] == [("linear", axis)]
