"""The compiled module: its availability, and its calls on covered tensors."""

import os
from dataclasses import replace
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS
from normwise.errors import ArgumentError
from normwise.kernels.backward_call import BackwardCall, Gradients
from normwise.kernels.call import Call

_FLOAT, _BFLOAT = torch.float32, torch.bfloat16
#: Activations by their numbers in ``csrc/call.h``.
NUMBERS: dict[str | None, int] = {None: 0} | {name: row.number for name, row in ACTIVATIONS.items()}
#: Expected functions of the module; one built from other sources may lack some, or compute differently.
_FUNCTIONS = ("forward", "moments", "normalise", "backward", "moments_gradient", "input_gradient")
#: Value of ``NORMWISE_KERNELS`` that turns the kernels off; the name of an instruction set selects that one.
_OFF = "torch"
_INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


def _load() -> tuple[ModuleType | None, str]:
    wanted = os.environ.get("NORMWISE_KERNELS", "")
    if wanted == _OFF:
        return None, f"turned off by NORMWISE_KERNELS={_OFF}"
    if wanted not in ("", *_INSTRUCTION_SETS):
        known = ", ".join((_OFF, *_INSTRUCTION_SETS))
        raise ArgumentError(
            f"NORMWISE_KERNELS is {wanted!r}; known are {known}. Unset it for the fastest there is"
        )
    try:
        # Imported after torch, so that both use torch's OpenMP.
        module = import_module("normwise.kernels.cpu._native")
    except ModuleNotFoundError:
        return None, "not there: no compiler could build them when normwise was installed"
    except ImportError as error:
        return None, f"there, but don't load: {error}"
    if missing := [name for name in _FUNCTIONS if not hasattr(module, name)]:
        return None, f"there, but of another version: they have no {missing[0]}(). Install normwise again"
    if any(NUMBERS.get(name) != number for number, name in enumerate(module.activations[1:], 1)):
        return None, "there, but of another version: their activations are others. Install normwise again"
    return module, ""


#: The compiled module, None if there is none or it was turned off; and the reason.
library, reason = _load()
#: Activations that the compiled module computes; others are left to torch's operators.
COVERED_ACTIVATIONS: frozenset[str | None] = frozenset(
    [None, *([] if library is None else library.activations[1:])]
)


def loaded() -> ModuleType:
    """Return the compiled module, which the caller knows to exist."""
    assert library is not None  # noqa: S101 (the caller has asked for the kernels)
    return library


def forward(
    call: Call, batch: Tensor | None = None, *, out: Tensor | None = None
) -> tuple[Tensor, bytearray]:
    """Return the output, and the saved statistics per channel, in float64: the mean and 1 / deviation.

    Training updates the running statistics, which are float32, and the counter in place. The tensors are not
    checked
    here: the backend's :class:`normwise.kernels.coverage.Coverage` does that, and sets the layout.

    Args:
        call: Covered call.
        batch: Float64 ``(2, C)``, filled with the mean and the Bessel-corrected variance if there are at least two
            real positions.
        out: Memory for the output, laid out like ``x``; by default a new tensor, or ``x`` itself with ``inplace``.
    """
    assert library is not None  # noqa: S101 (the call is covered)
    x, bfloat16 = call.x, call.x.dtype is _BFLOAT
    if out is None:
        out = x if call.inplace else torch.empty_like(x)
    if bfloat16:
        call = replace(call, weight=as_float(call.weight), bias=as_float(call.bias))
    saved = library.forward(call, bfloat16, torch.get_num_threads(), NUMBERS[call.activation], out, batch)
    return out, saved


def moments(call: Call) -> tuple[int, Tensor]:
    """Return the real positions, and per channel, in float64 ``(2, C)``, the mean and the biased variance."""
    found = call.x.new_empty(2, call.layout[1], dtype=torch.float64)
    count = loaded().moments(call, call.x.dtype is _BFLOAT, torch.get_num_threads(), found)
    return count, found


def backward(call: BackwardCall, *, out: Tensor | None = None) -> Gradients:
    """Return the gradients of a covered backward pass; ``out`` is memory for the gradient of the input."""
    assert library is not None  # noqa: S101 (the call is covered)
    x, bfloat16 = call.x, call.x.dtype is _BFLOAT
    grad_x = torch.empty_like(x) if out is None else out
    grad_residual = None if call.slope_source is None else torch.empty_like(x)
    weight = call.weight
    if weight is not None and weight.dtype is _FLOAT:
        grad_weight = torch.empty_like(weight)
    else:
        # Not torch.empty, which uses torch's default device.
        grad_weight = call.grad_y.new_empty(call.layout[1], dtype=_FLOAT)
    grad_bias = torch.empty_like(grad_weight)
    if bfloat16:
        call = replace(call, weight=as_float(call.weight), bias=as_float(call.bias))
    library.backward(
        call,
        bfloat16,
        torch.get_num_threads(),
        NUMBERS[call.activation],
        grad_x,
        grad_residual,
        grad_weight,
        grad_bias,
    )
    return grad_x, grad_weight, grad_bias, grad_residual


def as_float(tensor: Tensor | None) -> Tensor | None:
    """Return the tensor in float32, as the kernels' parameters need; with bfloat16 inputs they may be bfloat16."""
    return None if tensor is None else tensor.float()
