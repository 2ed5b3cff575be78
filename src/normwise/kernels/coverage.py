"""Checks of the tensors for compiled kernels, which get only addresses and sizes, and trust them.

Each call checks everything for each tensor: sizes, dtype, device, memory format, and whether there is memory at
all. Anything not clearly covered is left to torch's operators.
"""

from collections.abc import Callable, Collection, Mapping
from operator import attrgetter

import torch
from torch import Tensor

from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call
from normwise.kernels.memory import check_memory

_FLOAT = torch.float32
#: Layout ``(n, c, s, channels_last)`` of a tensor's elements; ``(n, s, c)`` in memory with the channels last.
Layout = tuple[int, int, int, bool]


class Coverage:
    """Checks of a backend, for its device and its dtypes.

    Methods are written for speed, since Python dominates the cost of small calls.

    Args:
        device: Kind of device, ``"cpu"`` or ``"cuda"``.
        itemsizes: Bytes per element of each dtype of inputs. Parameters and statistics are float32 or have this
            dtype.
        activations: Names of the activations that the kernels compute, and None.
    """

    def __init__(
        self, device: str, itemsizes: Mapping[torch.dtype, int], activations: Collection[str | None]
    ) -> None:
        self._device = device
        #: Function that returns whether a tensor is on the device.
        self.on_device: Callable[[Tensor], bool] = attrgetter(f"is_{device}")
        self._itemsizes = itemsizes
        self._activations = activations

    def covers(self, call: Call) -> bool:
        """Return whether the kernels can compute the call.

        If they can, its layout is set, and a residual or mask in another memory format is replaced by a copy.
        """
        x, mean, var, counter = call.x, call.running_mean, call.running_var, call.counter
        if mean is None or var is None:
            if mean is not var or not call.training:
                return False
        elif mean.dtype is not var.dtype:
            return False
        try:
            layout = self.layout(x)
            if (
                layout is None
                or call.activation not in self._activations
                or not _fit(layout[1], x, (call.weight, call.bias, mean, var))
            ):
                return False
            residual, mask = call.residual, call.mask
            if residual is not None:
                residual = _laid_out(x, residual, layout)
                if residual is None:
                    return False
            if mask is not None:
                mask = _contiguous_mask(x, layout, mask)
                if mask is None:
                    return False
            if counter is not None and (
                counter.dtype is not torch.int64
                or counter.get_device() != x.get_device()
                or counter.numel() != 1
                or not _holds(counter, 8, 8)
                or (counter.is_inference() and not torch.is_inference_mode_enabled())
            ):
                return False
        except RuntimeError:
            # Sparse, batched and other tensors without strides, or without an accessible storage.
            return False
        call.residual, call.mask, call.layout = residual, mask, layout
        return True

    def covers_backward(self, call: BackwardCall) -> bool:
        """Return whether the kernels can compute the backward pass.

        If they can, its layout is set, and tensors in another memory format are replaced by copies.
        """
        x, mask, source = call.x, call.mask, call.slope_source
        try:
            layout = self.layout(x)
            if layout is None and x.layout is torch.strided:
                check_memory(x)
                # In a memory format that the kernels know.
                x = x.contiguous()
                layout = self.layout(x)
            if (
                layout is None
                or call.activation not in self._activations
                or not _fit(layout[1], x, (call.weight, call.bias))
            ):
                return False
            if source is not None:
                source = _laid_out(x, source, layout)
                if source is None:
                    return False
            grad_y = _laid_out(x, call.grad_y, layout)
            if grad_y is None:
                return False
            if mask is not None:
                mask = _contiguous_mask(x, layout, mask)
                if mask is None:
                    return False
        except RuntimeError:
            return False
        call.x, call.slope_source, call.grad_y, call.mask, call.layout = x, source, grad_y, mask, layout
        return True

    def covers_types(self, call: Call) -> bool:
        """Return whether dtypes and devices of a call are covered, and parameters and statistics are contiguous."""
        x, mean, var, residual = call.x, call.running_mean, call.running_var, call.residual
        dtype = x.dtype
        return (
            call.training
            and dtype in self._itemsizes
            and x.device.type == self._device
            and call.activation in self._activations
            and all(
                tensor is None
                or (
                    (tensor.dtype is _FLOAT or tensor.dtype is dtype)
                    and tensor.device == x.device
                    and tensor.is_contiguous()
                )
                for tensor in (mean, var, call.weight, call.bias)
            )
            and (mean is None) == (var is None)
            and (mean is None or var is None or mean.dtype is var.dtype)
            and (residual is None or residual.dtype is dtype)
        )

    def layout(self, x: Tensor) -> Layout | None:
        """Return the layout of an input ``(N, C, *)`` in memory; None if the kernels can't take it."""
        size = self._itemsizes.get(x.dtype)
        if size is None or not self.on_device(x):
            return None
        shape = x.shape
        axes = len(shape)
        n, c, s = shape[0], shape[1], 1
        if x.is_contiguous():
            for axis in shape[2:]:
                s *= axis
            # Channels are also last for (N, C).
            channels_last = s == 1
        elif (axes == 4 and x.is_contiguous(memory_format=torch.channels_last)) or (
            axes == 5 and x.is_contiguous(memory_format=torch.channels_last_3d)
        ):
            s, channels_last = x.numel() // (n * c), True
        else:
            return None
        count = n * c * s
        return (n, c, s, channels_last) if count and _holds(x, count * size, size) else None


def _fit(channels: int, x: Tensor, tensors: tuple[Tensor | None, ...]) -> bool:
    """Return whether tensors have one value per channel, in float32 or the input's dtype, on its device."""
    dtype, device = x.dtype, x.get_device()
    for tensor in tensors:
        if tensor is not None:
            kind = tensor.dtype
            width = 4 if kind is _FLOAT else 2
            # Written out, without a function call per tensor, which would dominate small calls.
            if (
                not (kind is _FLOAT or kind is dtype)
                or tensor.get_device() != device
                or not tensor.is_contiguous()
                or tensor.numel() != channels
                or tensor.untyped_storage().nbytes() - tensor.storage_offset() * width < channels * width
                # get_device() is -1 on the CPU and on the meta device, which has no address.
                or tensor.data_ptr() == 0
                or tensor.is_neg()
            ):
                return False
    return True


def _laid_out(x: Tensor, other: Tensor, layout: Layout) -> Tensor | None:
    """Return ``other`` in the memory format of ``x``; None if its shape or dtype differ."""
    if (
        other.dtype is not x.dtype
        or other.get_device() != x.get_device()
        or other.layout is not torch.strided
        or other.shape != x.shape
    ):
        return None
    if other.stride() != x.stride() and not _same_order(other, x):
        check_memory(other)
        other = torch.empty_like(x).copy_(other)
    n, c, s, _ = layout
    size = x.itemsize
    return other if _holds(other, n * c * s * size, size) else None


def _same_order(other: Tensor, x: Tensor) -> bool:
    """Return whether strides differ only along axes of one element, where they have no meaning."""
    axes = zip(x.shape, x.stride(), other.stride(), strict=True)
    return all(size == 1 or stride == others for size, stride, others in axes)


def _contiguous_mask(x: Tensor, layout: Layout, mask: Tensor) -> Tensor | None:
    """Return the mask ``(N, *)`` in contiguous memory; None if it does not fit the input."""
    n, _, s, _ = layout
    if mask.dtype is not torch.bool or mask.get_device() != x.get_device() or mask.numel() != n * s:
        return None
    if not mask.is_contiguous():
        check_memory(mask)
        mask = mask.contiguous()
    return mask if _holds(mask, n * s, 1) else None


def _holds(tensor: Tensor, bytes_needed: int, itemsize: int) -> bool:
    """Return whether the tensor has a number of readable bytes from its first element on."""
    return (
        tensor.untyped_storage().nbytes() - tensor.storage_offset() * itemsize >= bytes_needed
        # Storages that were never allocated, as those of zero and functional tensors, still report a size.
        and tensor.data_ptr() != 0
        and not tensor.is_neg()
    )
