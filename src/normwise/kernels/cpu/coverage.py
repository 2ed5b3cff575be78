"""Which tensors the compiled kernels can take: they get addresses, and believe what they are told of what is there.

Everything is asked of each tensor, at each call: sizes, type, order in memory, and whether there is memory at all. What
is not plainly covered is left to torch's operators.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from normwise.errors import ArgumentError
from normwise.kernels.cpu.library import Shape, shape_of

_FLOAT, _BFLOAT = torch.float32, torch.bfloat16
_PLAIN = frozenset((Tensor, nn.Parameter))
# Bound once: small calls cost what Python costs.
_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]
_dispatch_modes, _function_modes = torch._C._len_torch_dispatch_stack, torch._C._len_torch_function_stack
_is_tracing = torch._C._is_tracing


def is_eager(tensors: tuple[Tensor | None, ...]) -> bool:
    """Return whether tensors are plain: no subclass, no tracing, no function transform, no mode."""
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


def covers_types(dtype: torch.dtype, mean: Tensor | None, var: Tensor | None, *others: Tensor | None) -> bool:
    """Return whether running statistics and parameters go with an input of this type."""
    return (
        all(tensor is None or _has_type(tensor, dtype) for tensor in (mean, var, *others))
        and (mean is None) == (var is None)
        and (mean is None or var is None or mean.dtype is var.dtype)
    )


def _has_type(tensor: Tensor, dtype: torch.dtype) -> bool:
    return (tensor.dtype is _FLOAT or tensor.dtype is dtype) and tensor.is_cpu and tensor.is_contiguous()


def laid_out_as(x: Tensor, other: Tensor) -> Tensor:
    """``other`` in the memory order of ``x``."""
    if other.stride() == x.stride():
        return other
    check_memory(other)
    return torch.empty_like(x).copy_(other)


class Covered(NamedTuple):
    """Arguments of a call of the kernels: ``x``, others in its order, a contiguous mask, and the shape."""

    x: Tensor
    per_element: list[Tensor | None]
    mask: Tensor | None
    shape: Shape


def covered(
    x: Tensor,
    per_channel: tuple[Tensor | None, ...],
    per_element: tuple[Tensor | None, ...],
    mask: Tensor | None,
    counter: Tensor | None = None,
    *,
    reorders: bool = False,
) -> Covered | None:
    """The tensors of a call as the kernels take them, copied where only the order is another; None if they can't.

    Args:
        x: Input ``(N, C, *)``.
        per_channel: What has one value per channel.
        per_element: What has the shape and the type of ``x``.
        mask: Boolean ``(N, *)``.
        counter: Number of batches.
        reorders: Whether ``x``, too, may be copied where its order is none that the kernels know.
    """
    try:
        shape = shape_of(x)
        if shape is None and reorders:
            check_memory(x)
            x = x.contiguous()
            shape = shape_of(x)
        if shape is None:
            return None
        dtype = x.dtype
        n, channels, s, _ = shape
        count, size = n * channels * s, 2 if dtype is _BFLOAT else 4
        if (
            not (dtype is _FLOAT or dtype is _BFLOAT)
            or not x.is_cpu
            or count == 0
            or not _holds(x, count * size, size)
        ):
            return None
        # Written out, with no call of a function for each tensor: in small calls this is what takes the time.
        for tensor in per_channel:
            if tensor is not None:
                kind = tensor.dtype
                width = 4 if kind is _FLOAT else 2
                if (
                    not (kind is _FLOAT or kind is dtype)
                    or not tensor.is_cpu
                    or not tensor.is_contiguous()
                    or tensor.numel() != channels
                    or tensor.untyped_storage().nbytes() - tensor.storage_offset() * width < channels * width
                    or tensor.data_ptr() == 0
                    or tensor.is_neg()
                ):
                    return None
        laid_out: list[Tensor | None] = []
        for tensor in per_element:
            if tensor is not None:
                if (
                    tensor.dtype is not dtype
                    or not tensor.is_cpu
                    or tensor.layout is not torch.strided
                    or tensor.shape != x.shape
                ):
                    return None
                tensor = laid_out_as(x, tensor)
                if not _holds(tensor, count * size, size):
                    return None
            laid_out.append(tensor)
        if mask is not None:
            if mask.dtype is not torch.bool or not mask.is_cpu or mask.numel() != n * s:
                return None
            if not mask.is_contiguous():
                check_memory(mask)
                mask = mask.contiguous()
            if not _holds(mask, n * s, 1):
                return None
        if counter is not None and (
            counter.dtype is not torch.int64
            or not counter.is_cpu
            or counter.numel() != 1
            or not _holds(counter, 8, 8)
            or (counter.is_inference() and not torch.is_inference_mode_enabled())
        ):
            return None
    except RuntimeError:
        # Sparse, batched and other tensors that have no strides, or no storage that could be asked for.
        return None
    return Covered(x, laid_out, mask, shape)


def check_memory(*tensors: Tensor | None) -> None:
    """Raise ArgumentError where the storage of a tensor on the CPU is smaller than the tensor: not all of torch asks.

    Only for tensors that are plain: others may have their memory elsewhere.
    """
    for tensor in tensors:
        if (
            tensor is None
            or type(tensor) not in _PLAIN
            or not tensor.is_cpu
            or tensor.layout is not torch.strided
        ):
            continue
        try:
            elements = 1 + sum(
                (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
            )
            needed = (tensor.storage_offset() + elements) * tensor.itemsize if tensor.numel() else 0
            found = tensor.untyped_storage().nbytes()
        except RuntimeError:
            continue
        if found < needed:
            raise ArgumentError(
                f"a tensor of shape {tuple(tensor.shape)} needs {needed} bytes of memory, and its storage has {found}: "
                "it was freed or cut, as sharded training (FSDP) frees parameters between their uses. Call the layer "
                "as a part of the model that was wrapped, or gather the parameters first"
            )


def _holds(tensor: Tensor, bytes_needed: int, itemsize: int) -> bool:
    """Return whether the tensor has so many bytes from its first element on, to be read as they are."""
    return (
        tensor.untyped_storage().nbytes() - tensor.storage_offset() * itemsize >= bytes_needed
        # Storages that were never filled, as those of zero and functional tensors, still say how large they would be.
        and tensor.data_ptr() != 0
        and not tensor.is_neg()
    )
