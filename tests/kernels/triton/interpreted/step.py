"""A step of batch normalization, forward and backward: its tensors, and what a backend makes of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS
from normwise.kernels import Call, dispatch

#: Batches that the counter has counted.
COUNTED = 4


@dataclass(frozen=True)
class Case:
    """Settings of a step.

    Attributes:
        shape: Of the input.
        memory_format: Order of the input in memory.
        dtype, parameters: Types of the input, and of parameters and running statistics.
        activation: The activation by name.
        residual, masked, training, inplace: As in a call.
        weight, bias: Whether there are γ and β.
        running: Whether there are running statistics.
        momentum, counter: As in a call; whether there is a counter.
    """

    shape: tuple[int, ...]
    memory_format: torch.memory_format = torch.contiguous_format
    dtype: torch.dtype = torch.float32
    parameters: torch.dtype = torch.float32
    activation: str | None = None
    residual: bool = False
    masked: bool = False
    training: bool = True
    inplace: bool = False
    weight: bool = True
    bias: bool = True
    running: bool = True
    momentum: float | None = 0.1
    counter: bool = False

    @property
    def average(self) -> bool:
        """True where the running statistics are the average of all batches."""
        return self.training and self.momentum is None and self.counter and self.running


class Tensors:
    """The tensors of a step, made from a seed; the gradient of the output is 0 near kinks of the activation."""

    def __init__(self, case: Case, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        channels = case.shape[1]

        def batch(scale: float, mean: float) -> Tensor:
            values = torch.randn(case.shape, generator=generator).mul(scale).add(mean)
            return values.to(case.dtype).contiguous(memory_format=case.memory_format)

        def vector(low: float, high: float, there: bool) -> Tensor | None:
            values = torch.rand(channels, generator=generator).mul(high - low).add(low)
            return values.to(case.parameters) if there else None

        self.x, self.grad_y = batch(2.0, 3.0), batch(1.0, 0.2)
        self.residual = batch(1.0, 0.0) if case.residual else None
        self.weight, self.bias = vector(0.5, 1.5, case.weight), vector(-1.0, 1.0, case.bias)
        self.mean, self.var = vector(-1.0, 4.0, case.running), vector(0.5, 4.0, case.running)
        self.mask = None
        if case.masked:
            self.mask = torch.rand((case.shape[0], *case.shape[2:]), generator=generator) < 0.7
            self.mask.view(-1)[:2] = True
        self.counter = torch.tensor(COUNTED) if case.counter else None

    def near_kinks(self, z: Tensor, case: Case) -> Tensor:
        """Return where rounding may decide on which side of a kink an activation's input is."""
        kinks = ACTIVATIONS[case.activation].kinks if case.activation else ()
        near = torch.zeros_like(z, dtype=torch.bool)
        for kink in kinks:
            near |= (z - kink).abs() < 1e-3
        return near


@dataclass
class Results:
    """Results of a step; None where there is none."""

    output: Tensor
    grad_x: Tensor
    grad_weight: Tensor | None
    grad_bias: Tensor | None
    grad_residual: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    counter: Tensor | None


def compute(case: Case, tensors: Tensors, *, copies: bool = True) -> Results:
    """Return what the first backend that covers the step makes of copies of its tensors, or of these themselves."""

    def leaf(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else (tensor.clone() if copies else tensor.detach()).requires_grad_()

    x, weight, bias, residual = map(leaf, (tensors.x, tensors.weight, tensors.bias, tensors.residual))
    mean, var, counter = (
        t.clone() if copies and t is not None else t for t in (tensors.mean, tensors.var, tensors.counter)
    )
    assert x is not None
    call = Call(
        # A leaf can't be overwritten.
        x.clone() if case.inplace else x,
        mean,
        var,
        weight,
        bias,
        case.training,
        case.momentum,
        1e-5,
        case.activation,
        residual,
        tensors.mask,
        counter,
        case.inplace,
    )
    call.check()
    y = dispatch.batch_norm(call)
    output = y.detach().clone(memory_format=torch.preserve_format)
    leaves = [leaf for leaf in (x, weight, bias, residual) if leaf is not None]
    gradients = iter(torch.autograd.grad(y, leaves, tensors.grad_y))
    found = [None if leaf is None else next(gradients) for leaf in (x, weight, bias, residual)]
    assert found[0] is not None
    return Results(output, found[0], found[1], found[2], found[3], mean, var, counter)
