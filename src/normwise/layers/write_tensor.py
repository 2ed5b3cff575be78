"""In-place copy of values into a tensor."""

import torch
from torch import Tensor


def write(tensor: Tensor, value: Tensor) -> None:
    """Copy values into a tensor, also into one that was made in inference mode or expanded."""
    if tensor.is_inference() == torch.is_inference_mode_enabled() and not torch.is_grad_enabled():
        _copy(tensor, value)
    else:
        with torch.inference_mode(tensor.is_inference()), torch.no_grad():
            _copy(tensor, value)


def _copy(tensor: Tensor, value: Tensor) -> None:
    strides = strides_of(tensor)
    if 0 in strides:
        for axis, (size, stride) in enumerate(zip(tensor.shape, strides, strict=True)):
            if stride == 0 and size > 1:
                # All elements along an expanded axis share memory.
                tensor, value = tensor.narrow(axis, 0, 1), value.narrow(axis, 0, 1)
    tensor.copy_(value)


def strides_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the strides; 1 along each axis of a sparse tensor, which has none."""
    return tensor.stride() if tensor.layout is torch.strided else (1,) * tensor.dim()
