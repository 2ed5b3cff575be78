"""Compiled backends in graphs that torch.compile and torch.export trace: the operator ``normwise::batch_norm``.

Its schema, its fake implementations and its derivative are device-independent. Each backend serves it under its
dispatch key.
"""

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normwise.errors import ArgumentError
from normwise.kernels import inductor
from normwise.kernels.backend import BACKENDS, Backend
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call, one_value
from normwise.kernels.gradient_rules import parameter_gradient, residual_gradient, slope_source
from normwise.kernels.memory import check_memory
from normwise.kernels.torch_backend import operator_passes
from normwise.kernels.torch_backend.primitives import move

#: Schema. It returns the output; the saved statistics, float64 (2, C); and the batch's mean and
#: Bessel-corrected variance, float64 (2, C). The graph computes everything else itself: on a GPU the operator
#: launches only the backend's kernels.
_FORWARD = (
    "batch_norm(Tensor x, Tensor? weight, Tensor? bias, Tensor? residual, Tensor? mask, float eps, "
    "str? activation, str formulas='') -> (Tensor, Tensor, Tensor)"
)
_BACKWARD = (
    "batch_norm_backward(Tensor x, Tensor? weight, Tensor? bias, Tensor saved, Tensor? slope_source, Tensor grad_y, "
    "Tensor? mask, str? activation) -> (Tensor, Tensor, Tensor, Tensor)"
)


def _digest() -> str:
    files = [Path(__file__), *sorted(Path(inductor.__file__).parent.glob("*.py"))]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


#: Version of the formulas for Inductor, as part of the operator's call: torch caches compiled graphs on disk
#: by their calls, and would otherwise reuse the formulas of an older normwise.
_FORMULAS = _digest()
#: The backends compute in any memory format; see :mod:`normwise.kernels.inductor.layouts`.
_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.flexible_layout)
#: Kept for the life of the process, since an operator is removed with its library.
_library = torch.library.Library("normwise", "DEF")
_library.define(_FORWARD, tags=_TAGS)
_library.define(_BACKWARD, tags=_TAGS)


def covers(call: Call) -> bool:
    """Return whether the operator takes the call; evaluation is left to the compiler, which fuses it."""
    return call.training and any(backend.covers_types(call) for backend in BACKENDS)


def batch_norm(call: Call) -> Tensor:
    """Return the output of a covered call by the operator, and update the running statistics in the graph."""
    x, mask, momentum = call.x, call.mask, call.momentum
    y, _, batch = torch.ops.normwise.batch_norm(
        x, call.weight, call.bias, call.residual, mask, call.eps, call.activation, _FORMULAS
    )
    if x.numel() == 0:
        return y
    # Without a mask there are at least two values per channel: one was refused.
    moved = True if mask is None else mask.sum() > 1
    if call.counter is not None:
        call.counter.add_(moved)
        if momentum is None:
            momentum = 1.0 / call.counter.clamp(min=1).double()
    if momentum is not None:
        move(call.running_mean, batch[0], momentum, moved)
        move(call.running_var, batch[1], momentum, moved)
    return y


def _forward(
    backend: Backend,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    mask: Tensor | None,
    eps: float,
    activation: str | None,
    formulas: str = "",
) -> tuple[Tensor, Tensor, Tensor]:
    # An exported graph takes batches of any size.
    if mask is None and x.numel() == x.shape[1] > 0:
        raise one_value(x)
    # Filled by the backend, unless a mask or an empty batch leaves fewer than two positions.
    fill = torch.zeros if mask is not None or x.numel() == 0 else torch.empty
    batch = fill(2, x.shape[1], dtype=torch.float64, device=x.device)
    if x.numel() == 0:
        return torch.empty_like(x), torch.zeros_like(batch), batch
    call = Call(
        x,
        weight=weight,
        bias=bias,
        training=True,
        eps=eps,
        activation=activation,
        residual=residual,
        mask=mask,
    )
    if not backend.covers(call):
        # Its memory format may be unknown to the backend.
        check_memory(x)
        call.x = x.contiguous()
        if not backend.covers(call):
            # If a backend has found the layout, but declines for another reason, torch computes the call.
            if backend.available and call.layout is None:
                raise _refusal(backend, x, weight, bias, residual, mask)
            y, saved, batch = operator_passes.forward(call)
            return _laid_out(x, y), saved, batch
    y, saved = backend.forward(call, batch)
    return _laid_out(x, y), backend.statistics(saved), batch


def _backward(
    backend: Backend,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    saved: Tensor,
    slope_source: Tensor | None,
    grad_y: Tensor,
    mask: Tensor | None,
    activation: str | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if x.numel() == 0:
        zero = torch.zeros(x.shape[1], dtype=torch.float32, device=x.device)
        return (
            torch.empty_like(x),
            zero,
            torch.zeros_like(zero),
            x.new_empty(0) if slope_source is None else torch.empty_like(x),
        )
    expected = (2, x.shape[1])
    if saved.shape != expected or saved.dtype is not torch.float64:
        raise ArgumentError(
            f"normwise::batch_norm_backward got statistics {saved.dtype} {tuple(saved.shape)}; expected those that the "
            f"forward pass gave, float64 {expected}"
        )
    call = BackwardCall(
        x,
        weight,
        bias,
        saved=backend.saved(saved),
        slope_source=slope_source,
        grad_y=grad_y,
        mask=mask,
        activation=activation,
    )
    if backend.covers_backward(call):
        gradients = backend.backward(call)
    elif backend.available and call.layout is None:
        raise _refusal(backend, x, weight, bias, slope_source, grad_y, mask)
    else:
        call.saved = saved
        gradients = operator_passes.backward(call)
    grad_x, grad_weight, grad_bias, grad_residual = gradients
    grad_residual = x.new_empty(0) if grad_residual is None else _laid_out(x, grad_residual)
    return _laid_out(x, grad_x), grad_weight, grad_bias, grad_residual


def _refusal(backend: Backend, x: Tensor, *others: Tensor | None) -> ArgumentError:
    """Return the error for tensors that don't fit together; a traced graph has checked its own."""
    told = ", ".join(
        "None" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in others
    )
    types = " or ".join(str(dtype).removeprefix("torch.") for dtype in backend.input_types)
    return ArgumentError(
        f"normwise::batch_norm on {x.device.type} got an input {x.dtype} {tuple(x.shape)} with {told}; expected "
        f"{types} (N, C, *), others of the shape (C,) or of the input's shape and type, and a boolean mask (N, *), all "
        "dense and on one device, in memory of their own"
    )


def _laid_out(x: Tensor, tensor: Tensor) -> Tensor:
    """Return ``tensor`` in the memory format of a new tensor like ``x``, as the fake implementation promised."""
    if tensor.stride() == x.stride():
        return tensor
    like = torch.empty_like(x)
    return tensor if tensor.stride() == like.stride() else like.copy_(tensor)


def _forward_shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    # Called when Dynamo traces, and when Inductor does.
    inductor.register_once()
    statistics = x.new_empty((2, x.shape[1]), dtype=torch.float64)
    return torch.empty_like(x), statistics, torch.empty_like(statistics)


def _backward_shapes(
    x: Tensor, weight: Any, bias: Any, saved: Any, slope_source: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    parameter = x.new_empty((x.shape[1],), dtype=torch.float32)
    grad_residual = x.new_empty(0) if slope_source is None else torch.empty_like(x)
    return torch.empty_like(x), parameter, torch.empty_like(parameter), grad_residual


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, residual, mask, _, activation, _ = inputs
    y, saved, batch = output
    ctx.mark_non_differentiable(saved, batch)
    ctx.save_for_backward(x, weight, bias, saved, slope_source(residual, activation, y), mask)
    ctx.activation, ctx.added = activation, residual is not None


def _differentiate(ctx: Any, grad_y: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    x, weight, bias, saved, source, mask = ctx.saved_tensors
    grad_x, grad_weight, grad_bias, grad_residual = torch.ops.normwise.batch_norm_backward(
        x, weight, bias, saved, source, grad_y, mask, ctx.activation
    )
    if ctx.added and source is None:
        grad_residual = residual_gradient(grad_y, mask)
    return (
        grad_x,
        None if weight is None else parameter_gradient(weight, grad_weight),
        None if bias is None else parameter_gradient(bias, grad_bias),
        grad_residual if ctx.added else None,
        None,
        None,
        None,
        None,
    )


for _backend in BACKENDS:
    _library.impl("batch_norm", partial(_forward, _backend), _backend.dispatch_key)
    _library.impl("batch_norm_backward", partial(_backward, _backend), _backend.dispatch_key)
torch.library.register_fake("normwise::batch_norm", _forward_shapes, lib=_library)
torch.library.register_fake("normwise::batch_norm_backward", _backward_shapes, lib=_library)
torch.library.register_autograd("normwise::batch_norm", _differentiate, setup_context=_keep, lib=_library)
