"""The batch normalization layers, and an input for each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from normwise import nn


@dataclass(frozen=True)
class Kind:
    """A layer of ours, torch's, and the shape of a batch; ``settings`` are what ours has besides a BN layer's."""

    ours: Callable[..., torch.nn.modules.batchnorm._BatchNorm]
    theirs: Callable[..., torch.nn.modules.batchnorm._BatchNorm]
    shape: tuple[int, ...]
    memory_format: torch.memory_format = torch.contiguous_format
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def mask_shape(self) -> tuple[int, ...]:
        return (self.shape[0], *self.shape[2:])


_GHOST = {"virtual_batch_size": 32}
_RENORM = {
    "r_max": 3.0,
    "d_max": 5.0,
    "warmup_steps": 5_000,
    "r_max_steps": 40_000,
    "d_max_steps": 25_000,
}
_SYNC = {"timeout": 60.0}

KINDS = {
    "1d-NC": Kind(nn.BatchNorm1d, torch.nn.BatchNorm1d, (8, 3)),
    "1d-NCL": Kind(nn.BatchNorm1d, torch.nn.BatchNorm1d, (4, 3, 5)),
    "2d": Kind(nn.BatchNorm2d, torch.nn.BatchNorm2d, (2, 3, 4, 5)),
    "2d-channels_last": Kind(nn.BatchNorm2d, torch.nn.BatchNorm2d, (2, 3, 4, 5), torch.channels_last),
    "3d": Kind(nn.BatchNorm3d, torch.nn.BatchNorm3d, (2, 3, 2, 3, 4)),
    "3d-channels_last": Kind(nn.BatchNorm3d, torch.nn.BatchNorm3d, (2, 3, 2, 3, 4), torch.channels_last_3d),
    # A batch that fits into one virtual batch, a warm-up, a process alone: batch normalization, to the last bit.
    "ghost-1d": Kind(nn.GhostBatchNorm1d, torch.nn.BatchNorm1d, (8, 3), settings=_GHOST),
    "ghost-2d": Kind(
        nn.GhostBatchNorm2d, torch.nn.BatchNorm2d, (2, 3, 4, 5), torch.channels_last, settings=_GHOST
    ),
    "renorm-1d": Kind(nn.BatchRenorm1d, torch.nn.BatchNorm1d, (4, 3, 5), settings=_RENORM),
    "renorm-2d": Kind(
        nn.BatchRenorm2d, torch.nn.BatchNorm2d, (2, 3, 4, 5), torch.channels_last, settings=_RENORM
    ),
    "sync-1d": Kind(nn.SyncBatchNorm, torch.nn.BatchNorm1d, (8, 3), settings=_SYNC),
    "sync-2d": Kind(
        nn.SyncBatchNorm, torch.nn.BatchNorm2d, (2, 3, 4, 5), torch.channels_last, settings=_SYNC
    ),
}


#: Layers of ``(N, C, L)`` of each family, with settings of which a batch of a few samples takes notice.
FAMILIES: dict[str, Callable[..., Any]] = {
    "plain": nn.BatchNorm1d,
    "ghost": partial(nn.GhostBatchNorm1d, virtual_batch_size=2),
    "renorm": partial(nn.BatchRenorm1d, warmup_steps=0, r_max_steps=0, d_max_steps=0),
    "sync": nn.SyncBatchNorm,
}


def new_layer(kind: Any, channels: int, *, bias: bool = True, **options: Any) -> Any:
    """Return a layer of a class of torch's or ours; torch's constructors take ``bias`` from 2.13 on."""
    layer = kind(channels, **options)
    if not bias:
        layer.register_parameter("bias", None)
    return layer
