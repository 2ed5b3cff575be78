"""Synchronised BN layers: the number of their processes, and passes in which they do not wait for others."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from normwise.kernels.merged import Merger
from normwise.kernels.torch_backend.primitives import ChannelMoments
from normwise.layers import LayerKind


def processes() -> int:
    """Return the number of processes; 0 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 0


def members(kind: LayerKind) -> tuple[int, ...]:
    """Return the ranks that a synchronised layer synchronises with; empty for all."""
    group = getattr(kind.layer, "process_group", None)
    return tuple(dist.get_process_group_ranks(group)) if isinstance(group, dist.ProcessGroup) else ()


def stop_synchronisation(kinds: Iterable[LayerKind]) -> None:
    """Let synchronised layers use only the batch of this process. The caller restores their attributes.

    Otherwise a pass of only one process, or one with different branches in each, would wait for ever. The batch is
    counted once per process, so that one value per channel counts as many as all processes would have.
    """
    for kind in kinds:
        layer = kind.layer
        count = len(members(kind)) or processes()
        if not kind.traits.synchronised or count < 2:
            continue
        if hasattr(layer, "rank_union"):
            vars(layer)["rank_union"] = lambda device, count=count: _Copies(count)
        elif kind.forward_of is nn.SyncBatchNorm:
            vars(layer)["forward"] = partial(_local_forward, layer)
        else:
            # An overridden forward pass that calls torch's, which does not synchronise in a group of one.
            layer.process_group = _Alone()


class _Copies(Merger):
    """Union of the batches of several processes, all assumed equal to the batch of this one.

    Args:
        count: Number of processes.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        return ChannelMoments(own.count * self._count, own.mean, own.variance)

    def gradient_sums(self, own: Tensor) -> Tensor:
        return own * self._count


class _Alone:
    """Stand-in for a process group of one process, with the methods that torch's layer calls."""

    def size(self) -> int:
        return 1


def _local_forward(layer: Any, input: Tensor) -> Tensor:
    """Normalise as ``torch.nn.SyncBatchNorm`` does, by the batch of this process, on any device."""
    layer._check_input_dim(input)
    mean, variance, momentum = layer.running_mean, layer.running_var, layer.momentum
    by_batch = layer.training or (mean is None and variance is None)
    if layer.training and not layer.track_running_stats:
        mean = variance = None
    if layer.training and mean is not None:
        layer.num_batches_tracked.add_(1)
        momentum = 1 / layer.num_batches_tracked.item() if momentum is None else momentum
    # F.batch_norm refuses one value per channel, but all processes together have more.
    return torch.batch_norm(
        input, layer.weight, layer.bias, mean, variance, by_batch, momentum or 0.0, layer.eps, False
    )
