"""Gradients of a compiled backend's forward pass by torch's operators.

They are used for second derivatives, and for tensors that the backend's own backward pass does not cover.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS
from normwise.errors import ArgumentError, AutogradError
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call
from normwise.kernels.gradient_rules import residual_gradient
from normwise.kernels.memory import check_memory
from normwise.kernels.torch_backend.batch_norm import batch_norm
from normwise.kernels.torch_backend.parts import equal_parts


def check_saved(call: BackwardCall) -> None:
    """Raise AutogradError unless saved tensors still have the dtypes and shapes of the forward pass.

    They follow from the gradient of the output, which has the input's shape and dtype. Hooks on saved tensors may
    have changed them; a changed memory format is allowed.
    """
    dtype, shape = call.grad_y.dtype, tuple(call.grad_y.shape)
    one_each = (shape[1],)
    for name, tensor, kind, expected in (
        ("the saved input", call.x, dtype, shape),
        ("the saved weight", call.weight, dtype, one_each),
        ("the saved bias", call.bias, dtype, one_each),
        ("the saved residual or output", call.slope_source, dtype, shape),
        ("the saved mask", call.mask, torch.bool, (shape[0], *shape[2:])),
    ):
        if tensor is None:
            continue
        fits = tensor.dtype is kind or (expected is one_each and tensor.dtype is torch.float32)
        if not fits or tuple(tensor.shape) != expected:
            raise AutogradError(
                f"batch normalization, backward: {name} has the type {tensor.dtype} and the shape "
                f"{tuple(tensor.shape)}, expected {kind} and {expected}, as in the forward pass; see the hooks on "
                "saved tensors (torch.autograd.graph.saved_tensors_hooks)"
            )


def gradients_by_torch(
    call: BackwardCall,
    statistics: Tensor,
    eps: float,
    needed: Sequence[bool],
    compute: Callable[[Call], Tensor] | None = None,
) -> list[Tensor | None]:
    """Return the gradients of input, weight, bias and residual; for a second derivative functions of everything.

    Args:
        call: Backward pass, whose tensors were checked.
        statistics: Mean and 1 / deviation of the forward pass, float64 ``(2, C)``.
        eps: Number that was added to the variance.
        needed: Whether each of the four is needed; the others are None.
        compute: Function that computes the output by differentiable operators, if it is not a plain call's.
    """
    x, weight, bias, residual, mask = call.x, call.weight, call.bias, call.slope_source, call.mask
    activation, grad_y = call.activation, call.grad_y
    check_memory(x, weight, bias, residual, mask, grad_y)
    twice = torch.is_grad_enabled()
    if call.from_output and twice:
        raise ArgumentError(
            "a second derivative needs the input, which a layer with inplace=True has overwritten; build the layer "
            "with inplace=False"
        )
    mean = var = None
    if not call.training:
        # The statistics of the forward pass: the buffers may have changed since.
        mean, var = statistics[0].float(), (statistics[1].pow(-2) - eps).float()
    if call.from_output:
        x = _input_of(x, statistics.view(call.parts, 2, -1), weight, bias, activation)
    if residual is not None and activation is not None and ACTIVATIONS[activation].slope_from_output:
        # Only the ReLU's output was saved instead of the residual, which shows where the slope is 1.
        grad_y = torch.where(residual <= 0, 0, grad_y)
        activation = residual = None
    inputs: list[Tensor | None] = [x, weight, bias, residual]
    needs = [need and tensor is not None for need, tensor in zip(needed, inputs, strict=True)]
    if not twice:
        inputs = [
            tensor.detach().requires_grad_() if need and tensor is not None else tensor
            for need, tensor in zip(needs, inputs, strict=True)
        ]
    else:
        # The inputs by themselves, not as functions of each other: the gradient of one that is computed from another
        # would go on into that, and be counted twice.
        with torch.enable_grad():
            inputs = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs]
    with torch.enable_grad():
        given, gamma, beta, added = inputs
        assert given is not None  # noqa: S101 (the input is never absent)
        again = Call(
            given,
            running_mean=mean,
            running_var=var,
            weight=None if gamma is None else gamma.float(),
            bias=None if beta is None else beta.float(),
            training=call.training,
            momentum=0.0,
            eps=eps,
            activation=activation,
            residual=added,
            mask=mask,
            parts=call.parts,
        )
        if compute is None:
            compute = batch_norm if call.parts == 1 else equal_parts
        y = compute(again)
    sources = [tensor for tensor, need in zip(inputs, needs, strict=True) if need and tensor is not None]
    found = iter(torch.autograd.grad(y, sources, grad_y, create_graph=twice) if sources else ())
    gradients = [next(found) if need else None for need in needs]
    if needed[3] and residual is None:
        gradients[3] = residual_gradient(grad_y, mask)
    return gradients


def _input_of(
    y: Tensor, statistics: Tensor, weight: Tensor | None, bias: Tensor | None, activation: str | None
) -> Tensor:
    """Return the input, computed from the output that overwrote it; ``statistics`` are those of each part."""
    shape = (1, -1, *([1] * (y.dim() - 2)))
    z = y.double() if activation is None else torch.where(y > 0, y, y * 100).double()
    if bias is not None:
        z = z - bias.detach().double().view(shape)
    if weight is not None:
        z = z / weight.detach().double().view(shape)
    parts = z.tensor_split(len(statistics))
    inputs = [
        part / inverse.view(shape) + mean.view(shape)
        for part, (mean, inverse) in zip(parts, statistics, strict=True)
    ]
    return torch.cat(inputs).to(y.dtype)
