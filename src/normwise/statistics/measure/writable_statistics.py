"""Check that running statistics can be written to, each with its own memory."""

from collections.abc import Mapping
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError

_NAMES = ("running_mean", "running_var")
#: Path of a layer, and name of its buffer.
_Owner = tuple[str, str]


def check_writable_statistics(layers: Mapping[str, nn.Module]) -> None:
    """Raise unless each running mean and variance can be written to without changing another.

    Raises:
        ArgumentError: mean and variance of a layer have different shapes; or a statistic's dtype is not
            floating-point, it has no memory, or it shares memory with another or (if expanded) with itself.
    """
    by_device: dict[torch.device, dict[_Owner, Tensor]] = {}
    for path, layer in layers.items():
        named = f"{type(layer).__name__} {path!r}"
        mean, variance = (layer.get_buffer(name) for name in _NAMES)
        if mean.shape != variance.shape:
            raise ArgumentError(
                f"{named} has a running_mean of shape {tuple(mean.shape)} and a running_var of shape "
                f"{tuple(variance.shape)}; expected the same, a number a channel"
            )
        for name, buffer in zip(_NAMES, (mean, variance), strict=True):
            if not buffer.is_floating_point():
                raise ArgumentError(
                    f"the {name} of {named} is of {buffer.dtype}; expected a floating type, such as torch.float32"
                )
            if buffer.is_meta or (buffer.numel() and buffer.data_ptr() == 0):
                raise ArgumentError(
                    f"the {name} of {named} has no memory: it is on the meta device, or was freed; load the model's "
                    "weights first"
                )
            by_device.setdefault(buffer.device, {})[path, name] = buffer
    for buffers in by_device.values():
        if not _are_apart(list(buffers.values())):
            _check_addresses(buffers, layers)


def _are_apart(buffers: list[Tensor]) -> bool:
    """Return whether all buffers are disjoint blocks of memory, as nearly always."""
    blocks = sorted((buffer.data_ptr(), buffer.nbytes) for buffer in buffers)
    return all(buffer.is_contiguous() for buffer in buffers) and all(
        start + size <= following for (start, size), (following, _) in pairwise(blocks)
    )


def _check_addresses(buffers: Mapping[_Owner, Tensor], layers: Mapping[str, nn.Module]) -> None:
    owners, addresses = list(buffers), [_addresses(buffer) for buffer in buffers.values()]
    everywhere = torch.cat(addresses)
    numbers = torch.cat([torch.full_like(own, number) for number, own in enumerate(addresses)])
    order = everywhere.argsort(stable=True)
    twice = (everywhere[order].diff() == 0).nonzero()
    if len(twice) == 0:
        return
    at = int(twice[0])
    (path, name), (other, other_name) = (owners[int(numbers[order[at + i]])] for i in (0, 1))
    named = f"{type(layers[path]).__name__} {path!r}"
    if (path, name) == (other, other_name):
        raise ArgumentError(
            f"elements of the {name} of {named} share memory (it was expanded), so that it can't hold a number a "
            f"channel; give it its own first: layer.{name} = layer.{name}.clone()"
        )
    raise ArgumentError(
        f"the {name} of {named} and the {other_name} of {type(layers[other]).__name__} {other!r} share memory, so that "
        f"they can't be replaced one by one; give each its own first: layer.{name} = layer.{name}.clone()"
    )


def _addresses(buffer: Tensor) -> Tensor:
    """Return the address of each element."""
    axes = [torch.arange(size) * stride for size, stride in zip(buffer.shape, buffer.stride(), strict=True)]
    none = torch.zeros(1, dtype=torch.int64)
    offsets = reduce(lambda sums, axis: (sums[:, None] + axis).flatten(), axes, none)
    return buffer.data_ptr() + offsets * buffer.element_size()
