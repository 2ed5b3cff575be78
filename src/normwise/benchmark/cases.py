"""What is compared: a layer of torch with what stands behind it, and ours with the same fused."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from normwise import nn
from normwise.errors import ArgumentError

Work = Literal["relu", "plain", "add_relu", "eval", "eval_relu"]
#: In the words of a table.
WORK: dict[Work, str] = {
    "relu": "BN+ReLU, forward and backward",
    "plain": "BN, forward and backward",
    "add_relu": "BN+add+ReLU, forward and backward",
    "eval": "BN, evaluation",
    "eval_relu": "BN+ReLU, evaluation",
}


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        work: What is computed.
        shape: Of the input.
        channels_last: Its order in memory.
        dtype: Its type; parameters and statistics are float32.
    """

    work: Work
    shape: tuple[int, ...]
    channels_last: bool = False
    dtype: torch.dtype = torch.float32

    @property
    def bytes(self) -> int:
        """Of the input."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    @property
    def title(self) -> str:
        """What is computed, in words."""
        return WORK[self.work] + (", bfloat16" if self.dtype is torch.bfloat16 else "")

    @property
    def layout(self) -> str:
        """Shape and order, in words."""
        order = {2: "(N, C)", 3: "(N, C, L)"}.get(len(self.shape), "NHWC" if self.channels_last else "NCHW")
        return f"{'×'.join(map(str, self.shape))} {order}"

    def tensor(self) -> Tensor:
        """A random one of the input's shape, order and type."""
        x = torch.randn(self.shape).to(self.dtype)
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x


#: The shapes of a benchmark: images of several sizes, in both orders; a sequence; dense layers.
SHAPES: tuple[tuple[tuple[int, ...], bool], ...] = (
    ((64, 64, 112, 112), False),
    ((32, 64, 56, 56), False),
    ((32, 256, 14, 14), False),
    ((128, 512, 7, 7), False),
    ((128, 32, 26, 26), False),
    ((32, 128, 200), False),
    ((64, 64, 112, 112), True),
    ((32, 64, 56, 56), True),
    ((32, 256, 14, 14), True),
    ((128, 512, 7, 7), True),
    ((128, 32, 26, 26), True),
    ((4096, 1024), False),
    ((256, 1024), False),
    ((60, 100), False),
)
CASES: tuple[Case, ...] = (
    *(Case("relu", *shape) for shape in SHAPES),
    *(Case("add_relu", *shape) for shape in SHAPES[1:3] + SHAPES[7:9]),
    *(Case("relu", *shape, torch.bfloat16) for shape in SHAPES[1:3] + SHAPES[7:9] + SHAPES[11:12]),
    *(Case("plain", *shape) for shape in SHAPES[1:3] + SHAPES[7:9] + SHAPES[11:12]),
    *(Case(work, *shape) for work in ("eval", "eval_relu") for shape in SHAPES[1:3] + SHAPES[7:9]),
)


def contestants(case: Case) -> tuple[list[Callable[[], None]], Callable[[], None]]:
    """torch's ways to do the work, with the ReLU in place and not, and ours."""
    if case.work not in WORK:
        raise ArgumentError(f"unknown work {case.work!r}; known are {', '.join(WORK)}")
    trains = not case.work.startswith("eval")
    relu, adds = case.work != "plain" and case.work != "eval", case.work == "add_relu"
    x, other, grad = (case.tensor() for _ in range(3))
    x.requires_grad_(trains)
    other.requires_grad_(trains)
    dimensions = {2: (torch.nn.BatchNorm1d, nn.BatchNorm1d), 3: (torch.nn.BatchNorm1d, nn.BatchNorm1d)}
    theirs, ours = dimensions.get(len(case.shape), (torch.nn.BatchNorm2d, nn.BatchNorm2d))
    their_layer = theirs(case.shape[1]).train(trains)
    our_layer = ours(case.shape[1], activation="relu" if relu else None).train(trains)

    def finish(y: Tensor) -> None:
        if trains:
            y.backward(grad)
            x.grad = other.grad = None

    def by_torch(in_place: bool) -> Callable[[], None]:
        def call() -> None:
            with contextlib.nullcontext() if trains else torch.no_grad():
                y = their_layer(x)
                y = y + other if adds else y
                if relu:
                    y = torch.relu_(y) if in_place else torch.relu(y)
                finish(y)

        return call

    def by_us() -> None:
        with contextlib.nullcontext() if trains else torch.no_grad():
            finish(our_layer(x, residual=other) if adds else our_layer(x))

    return [by_torch(True), by_torch(False)] if relu else [by_torch(True)], by_us
