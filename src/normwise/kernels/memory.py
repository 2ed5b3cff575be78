"""Check that tensors on the CPU have the memory that their shapes and strides need."""

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError

#: Classes of tensors whose memory is their storage; subclasses may have theirs elsewhere.
PLAIN = frozenset((Tensor, nn.Parameter))


def check_memory(*tensors: Tensor | None) -> None:
    """Raise ArgumentError if the storage of a CPU tensor is smaller than the tensor, which torch may not check.

    Use it only for plain tensors: others may have their memory elsewhere.
    """
    for tensor in tensors:
        if (
            tensor is None
            or type(tensor) not in PLAIN
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
