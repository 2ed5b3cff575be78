"""Orders of axes and offsets in memory that a tensor, a vector or a saved tensor may have."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_negated: Any = torch._neg_view  # pyright: ignore[reportPrivateImportUsage]


def in_order(x: Tensor, order: list[int]) -> Tensor:
    """The same values, with the axes in memory in the order given."""
    return x.permute(order).contiguous().permute([order.index(axis) for axis in range(x.dim())])


def at_offset(x: Tensor) -> Tensor:
    """The same values in the midst of a storage, not aligned to anything."""
    base = x.new_full((x.numel() + 7,), 3.0)
    return base[3 : 3 + x.numel()].view(x.shape).copy_(x)


def every_other(x: Tensor) -> Tensor:
    """The same values with others between them."""
    return torch.stack([x, x + 1], -1).flatten(-2)[..., ::2]


def odd_strides(x: Tensor) -> Tensor:
    """Axes of size 1 get a stride that no other axis gives reason for."""
    return x.as_strided(x.shape, [99 if n == 1 else s for n, s in zip(x.shape, x.stride(), strict=True)])


def channels_last(x: Tensor) -> Tensor:
    """Channels last in memory."""
    return in_order(x, [0, *range(2, x.dim()), 1])


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": torch.Tensor.contiguous,
    "channels last": channels_last,
    "reversed": lambda x: in_order(x, list(range(x.dim()))[::-1]),
    "at an offset": at_offset,
    "channels last at an offset": lambda x: channels_last(torch.cat([x, x]))[x.shape[0] :],
    "every other": every_other,
    "expanded": lambda x: x[:, :1].expand_as(x),
    "odd strides": lambda x: odd_strides(x.contiguous()),
    "odd strides, channels last": lambda x: odd_strides(channels_last(x)),
    "negated": lambda x: _negated(-x),
}
VECTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": torch.Tensor.contiguous,
    "at an offset": at_offset,
    "every other": every_other,
    "expanded": lambda x: x[:1].expand_as(x),
    "negated": lambda x: _negated(-x),
    "one more": lambda x: torch.cat([x, x[:1]]),
    "one less": lambda x: x[:-1].clone(),
    "twice": lambda x: torch.cat([x, x]),
    "single": lambda x: x.new_ones(1),
    "two axes": lambda x: x[None].clone(),
    "freed": lambda x: x.clone(),
}
#: What a hook keeps of a saved tensor, and whether the backward pass then has to be refused.
HOOKS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "contiguous": (torch.Tensor.contiguous, False),
    "reversed": (lambda t: in_order(t, list(range(t.dim()))[::-1]), False),
    "every other": (lambda t: t if t.dtype is torch.bool else every_other(t), False),
    "negated": (lambda t: _negated(-t) if t.is_floating_point() else t, False),
    "another type": (lambda t: t.to(torch.complex64), True),
    "cropped": (lambda t: t[:-1], True),
}
