"""Which implementation a call gets: the compiled kernels where they cover it and are faster, else torch's operators."""

import sys
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import handle_torch_function

from normwise.kernels import native, native_autograd, native_operators, torch_operators


class Sizes(NamedTuple):
    """Elements for which the kernels are faster (``benchmarks/crossover.py``).

    With few, what a call itself costs decides. With very many, where there is nothing to fuse, torch's operator
    evaluates as fast as memory is. Where the channels stand last, as in (N, C), it is as good in training, too.
    Training with something to fuse is the kernels' whatever the size.
    """

    plain_training: range = range(16_000, sys.maxsize)
    plain_training_channels_last: range = range(4_000_000, sys.maxsize)
    evaluation_with_gradients: range = range(100_000, sys.maxsize)
    plain_evaluation: range = range(30_000, 4_000_000)


FASTER = Sizes()
#: For tests and benchmarks of the kernels.
ALWAYS = Sizes(*[range(1, sys.maxsize)] * len(FASTER))
_FLOAT, _BFLOAT = torch.float32, torch.bfloat16


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | Tensor | None,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    counter: Tensor | None = None,
    inplace: bool = False,
) -> Tensor:
    """The equation of :func:`normwise.functional.batch_norm`; arguments are expected to be checked.

    ``counter`` is the number of batches so far, which training moves; without a momentum the running statistics
    are the plain average over them.
    """
    dtype = x.dtype
    if native.library is not None and (dtype is _FLOAT or dtype is _BFLOAT) and x.is_cpu:
        if torch.compiler.is_compiling():
            # Evaluation is left to the compiler, which fuses it with what stands around it.
            if training and _covers(dtype, running_mean, running_var, weight, bias, residual):
                return native_operators.batch_norm(
                    x,
                    running_mean,
                    running_var,
                    weight,
                    bias,
                    momentum,
                    eps,
                    activation,
                    residual,
                    mask,
                    counter,
                )
        elif (
            _is_faster(x, training, activation, residual, mask, inplace)
            and _is_eager((x, running_mean, running_var, weight, bias, residual, mask))
            and _covers(dtype, running_mean, running_var, weight, bias, residual)
            and (counter is None or counter.dtype is torch.int64)
            and (shape := native.shape_of(x)) is not None
        ):
            return native_autograd.batch_norm(
                shape,
                x,
                running_mean,
                running_var,
                weight,
                bias,
                counter,
                training,
                float(momentum) if momentum is not None else 0.0 if counter is None else -1.0,
                eps,
                activation,
                residual,
                mask,
                inplace,
            )
    if not torch.compiler.is_compiling() and _function_modes() > 0:
        # The topmost mode sees one call, as it sees torch's own; what it makes of it comes here again without it.
        return handle_torch_function(
            batch_norm,
            (x,),
            x,
            running_mean,
            running_var,
            weight,
            bias,
            training,
            momentum,
            eps,
            activation,
            residual,
            mask,
            counter,
            inplace,
        )
    return torch_operators.batch_norm(
        x,
        running_mean,
        running_var,
        weight,
        bias,
        training,
        momentum,
        eps,
        activation,
        residual,
        mask,
        counter,
    )


def moments(x: Tensor, mask: Tensor | None = None) -> tuple[int, Tensor, Tensor]:
    """Elements a channel, and in float64 the mean and the sum of squared deviations, of ``(N, C, *)``.

    No gradient flows. Without an element the mean is 0.
    """
    x = x.detach()
    if (
        native.library is not None
        and (x.dtype is _FLOAT or x.dtype is _BFLOAT)
        and x.is_cpu
        and x.numel() > 0
        and _is_eager((x, mask))
        and (shape := native.shape_of(x)) is not None
    ):
        return native.moments(shape, x, None if mask is None else mask.contiguous())
    return torch_operators.moments(x, mask)


def _is_faster(
    x: Tensor,
    training: bool,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    inplace: bool,
) -> bool:
    elements = int(x.numel())  # torch.jit.trace makes a tensor of it, which a range would be searched for
    plain = activation is None and residual is None
    if mask is not None or inplace or (training and not plain):
        return elements > 0
    if training:
        last = x.dim() == 2 or not x.is_contiguous()
        return elements in (FASTER.plain_training_channels_last if last else FASTER.plain_training)
    if torch.is_grad_enabled() and x.requires_grad:
        return elements in FASTER.evaluation_with_gradients
    return elements in FASTER.plain_evaluation if plain else elements > 0


_PLAIN = frozenset((Tensor, nn.Parameter))
# Bound once: small calls cost what Python costs.
_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]
_dispatch_modes, _function_modes = torch._C._len_torch_dispatch_stack, torch._C._len_torch_function_stack
_is_tracing = torch._C._is_tracing


def _is_eager(tensors: tuple[Tensor | None, ...]) -> bool:
    """Whether tensors have addresses: no subclass, no tracing, no function transform, no mode."""
    for tensor in tensors:
        if tensor is not None and type(tensor) not in _PLAIN:
            return False
    return (
        _transforms() is None
        and _dispatch_modes() == 0
        and _function_modes() == 0
        and forward_ad._current_level < 0
        and not _is_tracing()
    )


def _covers(
    dtype: torch.dtype,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
) -> bool:
    """Whether types and orders are what the kernels take; what torch refuses is left to torch to refuse."""
    for tensor in (mean, var, weight, bias):
        if tensor is not None and not (
            (tensor.dtype is _FLOAT or tensor.dtype is dtype) and tensor.is_contiguous() and tensor.is_cpu
        ):
            return False
    return (
        (residual is None or residual.dtype is dtype)
        and (mean is None) == (var is None)
        and (mean is None or var is None or mean.dtype is var.dtype)
    )
