"""The cases of a benchmark: a layer of torch with what stands behind it, and ours with the same fused."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
        work: Kind of work that is computed.
        shape: Shape of the input.
        channels_last: Whether the memory format is channels-last.
        dtype: Dtype of the input; parameters and statistics are float32.
        device: The device that computes.
    """

    work: Work
    shape: tuple[int, ...]
    channels_last: bool = False
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    @property
    def bytes(self) -> int:
        """Size of the input."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    @property
    def on_gpu(self) -> bool:
        """True where a GPU computes."""
        return self.device != "cpu"

    @property
    def trains(self) -> bool:
        """True where there is a backward pass."""
        return not self.work.startswith("eval")

    @property
    def title(self) -> str:
        """Return a description of the work."""
        kind = "" if self.dtype is torch.float32 else f", {str(self.dtype).removeprefix('torch.')}"
        return WORK[self.work] + kind

    @property
    def layout(self) -> str:
        """Shape and order, in words."""
        order = {2: "(N, C)", 3: "(N, C, L)"}.get(len(self.shape), "NHWC" if self.channels_last else "NCHW")
        return f"{'×'.join(map(str, self.shape))} {order}"

    def tensor(self) -> Tensor:
        """Return a random tensor of the input's shape, order and type."""
        x = torch.randn(self.shape, device=self.device).to(self.dtype)
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x


#: Images of several sizes, in both orders; a sequence; dense layers.
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
#: The cases of a CPU.
CASES: tuple[Case, ...] = (
    *(Case("relu", *shape) for shape in SHAPES),
    *(Case("add_relu", *shape) for shape in SHAPES[1:3] + SHAPES[7:9]),
    *(Case("relu", *shape, torch.bfloat16) for shape in SHAPES[1:3] + SHAPES[7:9] + SHAPES[11:12]),
    *(Case("plain", *shape) for shape in SHAPES[1:3] + SHAPES[7:9] + SHAPES[11:12]),
    *(Case(work, *shape) for work in ("eval", "eval_relu") for shape in SHAPES[1:3] + SHAPES[7:9]),
)
#: ResNet-50's images at batch 128, a segmentation network's, and dense layers.
GPU_IMAGES: tuple[tuple[int, ...], ...] = (
    (128, 64, 112, 112),
    (128, 64, 56, 56),
    (128, 256, 56, 56),
    (128, 128, 28, 28),
    (128, 512, 28, 28),
    (128, 256, 14, 14),
    (128, 1024, 14, 14),
    (128, 2048, 7, 7),
    (16, 19, 128, 256),
)
GPU_MATRICES: tuple[tuple[int, ...], ...] = ((65536, 256), (8192, 1024), (60, 100))
_FEW = GPU_IMAGES[2:5:2]
_BOTH = (True, False)


def gpu_cases(device: str) -> tuple[Case, ...]:
    """Return the cases of a GPU, the most used first."""
    cases = (
        *(Case("relu", shape, last, torch.bfloat16) for last in _BOTH for shape in GPU_IMAGES),
        *(Case("relu", shape, False, torch.bfloat16) for shape in GPU_MATRICES),
        *(Case("add_relu", shape, last, torch.bfloat16) for last in _BOTH for shape in GPU_IMAGES),
        *(Case("relu", shape, last, torch.float32) for last in _BOTH for shape in GPU_IMAGES),
        *(Case("relu", shape, last, torch.float16) for last in _BOTH for shape in _FEW),
        *(Case("plain", shape, last, torch.bfloat16) for last in _BOTH for shape in _FEW),
        *(Case(work, shape, True, torch.bfloat16) for work in ("eval", "eval_relu") for shape in _FEW),
    )
    return tuple(replace(case, device=device) for case in cases)


def contestants(case: Case) -> tuple[list[Callable[[], None]], Callable[[], None]]:
    """Return torch's ways to do the work, with the ReLU in place and not, and ours."""
    if case.work not in WORK:
        raise ArgumentError(f"unknown work {case.work!r}; known are {', '.join(WORK)}")
    relu, adds = case.work not in ("plain", "eval"), case.work == "add_relu"
    x, other, grad = (
        case.tensor().requires_grad_(gradient) for gradient in (case.trains, case.trains, False)
    )
    their_layer, our_layer = layers(case)
    # The CPU's figures are those of gradients of parameters that add up, as they always were. On a GPU an addition is
    # a kernel of its own: there, a step begins without gradients, as after ``zero_grad()``.
    kept: Sequence[Tensor] = (x, other)
    if case.on_gpu:
        kept = (*kept, *their_layer.parameters(), *our_layer.parameters())

    def finish(y: Tensor) -> None:
        if case.trains:
            y.backward(grad)
            for tensor in kept:
                tensor.grad = None

    def by_torch(in_place: bool) -> Callable[[], None]:
        def call() -> None:
            with contextlib.nullcontext() if case.trains else torch.no_grad():
                y = their_layer(x)
                y = y + other if adds else y
                if relu:
                    y = torch.relu_(y) if in_place else torch.relu(y)
                finish(y)

        return call

    def by_us() -> None:
        with contextlib.nullcontext() if case.trains else torch.no_grad():
            finish(our_layer(x, residual=other) if adds else our_layer(x))

    return [by_torch(True), by_torch(False)] if relu else [by_torch(True)], by_us


def layers(case: Case) -> tuple[torch.nn.Module, nn.BatchNorm1d | nn.BatchNorm2d]:
    """Return torch's layer and ours, in the mode of the case."""
    flat = len(case.shape) < 4
    theirs, ours = (torch.nn.BatchNorm1d, nn.BatchNorm1d) if flat else (torch.nn.BatchNorm2d, nn.BatchNorm2d)
    activation = None if case.work in ("plain", "eval") else "relu"
    channels = case.shape[1]
    return (
        theirs(channels, device=case.device).train(case.trains),
        ours(channels, activation=activation, device=case.device).train(case.trains),
    )
