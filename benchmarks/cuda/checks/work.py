"""One step of one of our layers, for checks that repeat it in several ways."""

from typing import Any

import torch
from torch import Tensor

from benchmarks.cuda.place import Place
from normwise import nn

CASES = (
    ((32, 64, 28, 28), True, torch.bfloat16),
    ((32, 64, 28, 28), False, torch.bfloat16),
    ((32, 70, 29, 27), False, torch.float32),
    ((4099, 129), False, torch.float32),
)


#: Settings of :class:`Work` under which each pass is checked.
SETTINGS: tuple[dict[str, Any], ...] = ({}, {"momentum": None}, {"mask": True, "momentum": None})


class NotCheckedError(Exception):
    """A check that the device can't be put to."""


class Work:
    """A layer, its input and what it is called for; each call is one step, from the same buffers on."""

    def __init__(
        self,
        place: Place,
        shape: tuple[int, ...],
        channels_last: bool,
        dtype: torch.dtype,
        *,
        mask: bool = False,
        momentum: float | None = 0.1,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
        self.layer = kind(shape[1], momentum=momentum, activation="relu", device=place.device)
        order = torch.channels_last if channels_last else torch.contiguous_format
        self.x, self.added, self.grad = (
            torch.randn(shape, device=place.device).to(dtype).contiguous(memory_format=order)
            for _ in range(3)
        )
        self.mask = torch.rand(shape[0], *shape[2:], device=place.device) < 0.7 if mask else None
        self.leaves = [self.x.requires_grad_(), self.added.requires_grad_(), *self.layer.parameters()]

    def step(self) -> list[Tensor]:
        """Return output, gradients and buffers of a step."""
        y = self.layer(self.x, residual=self.added, mask=self.mask)
        gradients = torch.autograd.grad(y, self.leaves, self.grad)
        return [y.detach(), *gradients, *self.layer.buffers()]

    def again(self) -> list[Tensor]:
        """Return copies of the same for new buffers."""
        self.layer.reset_running_stats()
        return [tensor.clone() for tensor in self.step()]


def need_gpu(place: Place) -> None:
    """Raise NotCheckedError in a dry run."""
    if not place.on_gpu:
        raise NotCheckedError("it needs a GPU")


def expect_equal(got: list[Tensor], expected: list[Tensor], what: str) -> None:
    """Raise AssertionError unless tensors have the same bits."""
    for number, (one, other) in enumerate(zip(got, expected, strict=True)):
        if not torch.equal(one, other):
            difference = (one.double() - other.double()).abs().max().item()
            raise AssertionError(
                f"{what}: tensor {number} differs by up to {difference:.3g}; expected the same bits"
            )
