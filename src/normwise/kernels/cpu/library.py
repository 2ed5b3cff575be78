"""The compiled kernels: whether they are there, and calls of them on tensors that they cover."""

import os
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from normwise.errors import ArgumentError

#: Activations by the numbers that ``csrc/call.h`` gives them.
_NUMBERS = {
    None: 0,
    "relu": 1,
    "relu6": 2,
    "leaky_relu": 3,
    "elu": 4,
    "gelu": 5,
    "silu": 6,
    "hardswish": 7,
    "sigmoid": 8,
    "tanh": 9,
}
#: ``NORMWISE_KERNELS`` turns the kernels off by this word; the name of an instruction set asks for that one.
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
        # After torch, whose OpenMP then serves both.
        return import_module("normwise.kernels.cpu._native"), ""
    except ModuleNotFoundError:
        return None, "not there: no compiler could build them when normwise was installed"
    except ImportError as error:
        return None, f"there, but don't load: {error}"


#: The compiled module; None where there is none, or it was turned off.
library, _reason = _load()


def in_use() -> str:
    """What computes here, in words."""
    if library is None:
        return f"torch's operators (the compiled ones are {_reason})"
    return f"compiled for {library.instruction_set()}"


def name_in_use() -> str:
    """Return a word for what computes here, by which ``NORMWISE_KERNELS`` asks for it."""
    return _OFF if library is None else library.instruction_set()


#: ``(n, c, s, channels_last)``: the order of a tensor's elements, ``(n, s, c)`` with the channels last.
Shape = tuple[int, int, int, bool]


def shape_of(x: Tensor) -> Shape | None:
    """The shape of ``(N, C, *)`` as the kernels see it, or None where its memory has neither order."""
    shape = x.shape
    axes = len(shape)
    if x.is_contiguous():
        if axes == 2:
            return shape[0], shape[1], 1, True
        s = 1
        for size in shape[2:]:
            s *= size
        return shape[0], shape[1], s, s == 1
    if (axes == 4 and x.is_contiguous(memory_format=torch.channels_last)) or (
        axes == 5 and x.is_contiguous(memory_format=torch.channels_last_3d)
    ):
        return shape[0], shape[1], x.numel() // (shape[0] * shape[1]), True
    return None


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def forward(
    shape: Shape,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    counter: Tensor | None,
    training: bool,
    momentum: float | None,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    batch: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> tuple[Tensor, bytearray]:
    """The output, and what the backward pass needs: per channel, in float64, the mean and 1 / deviation.

    In training the running statistics and the counter of batches are moved in place; without a momentum they are
    the plain average over the batches, or stay where nobody counts. ``batch``, float64 ``(2, C)``, gets the mean and
    the Bessel-corrected variance where there are at least two real positions. ``out``, laid out as ``x``, may be ``x``
    itself. What the tensors are is not checked here: :func:`normwise.kernels.cpu.coverage.covered` does.
    """
    assert library is not None  # noqa: S101 (the caller has asked for the kernels)
    y = torch.empty_like(x) if out is None else out
    saved = library.forward(
        shape,
        x.dtype is torch.bfloat16,
        training,
        torch.get_num_threads(),
        _NUMBERS[activation],
        0.0 if momentum is None else momentum,
        momentum is None and counter is not None,
        eps,
        x.data_ptr(),
        _address(mask),
        _address(weight),
        _address(bias),
        _address(running_mean),
        _address(running_var),
        _address(counter),
        _address(residual),
        y.data_ptr(),
        _address(batch),
    )
    return y, saved


def moments(shape: Shape, x: Tensor, mask: Tensor | None) -> tuple[int, Tensor, Tensor]:
    """Real positions, and per channel, in float64, the mean and the sum of squared deviations from it."""
    assert library is not None  # noqa: S101 (the caller has asked for the kernels)
    found = torch.empty(2, shape[1], dtype=torch.float64)
    bfloat16, threads = x.dtype is torch.bfloat16, torch.get_num_threads()
    count = library.moments(shape, bfloat16, threads, x.data_ptr(), _address(mask), found.data_ptr())
    return count, found[0], found[1]


def backward(
    shape: Shape,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    saved: bytearray | int,
    third: Tensor | None,
    grad_y: Tensor,
    mask: Tensor | None,
    training: bool,
    activation: str | None,
    *,
    from_output: bool = False,
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Gradients of ``x``, ``weight``, ``bias`` and, where there is a ``third``, of the residual.

    ``third`` is what tells the slope of the activation where a residual was added: the output of a ReLU, the
    residual of any other. With ``from_output``, ``x`` is the output that took the input's place. ``out``
    gets the gradient of ``x``.
    """
    assert library is not None  # noqa: S101 (the caller has asked for the kernels)
    grad_x = torch.empty_like(x) if out is None else out
    grad_residual = None if third is None else torch.empty_like(x)
    grad_weight = torch.empty(shape[1], dtype=torch.float32)
    grad_bias = torch.empty_like(grad_weight)
    library.backward(
        shape,
        x.dtype is torch.bfloat16,
        training,
        torch.get_num_threads(),
        _NUMBERS[activation],
        from_output,
        x.data_ptr(),
        _address(mask),
        _address(weight),
        _address(bias),
        saved,
        _address(third),
        grad_y.data_ptr(),
        grad_x.data_ptr(),
        _address(grad_residual),
        grad_weight.data_ptr(),
        grad_bias.data_ptr(),
    )
    return grad_x, grad_weight, grad_bias, grad_residual
