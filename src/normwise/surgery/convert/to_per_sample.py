"""Conversion to norms of one sample at a time: group, layer and instance norm."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from normwise.layers.known_classes import TORCH
from normwise.nn.convertible import PARAMETERS
from normwise.nn.group_count import groups_of
from normwise.surgery.convert.describe_norm import NormDescription
from normwise.surgery.convert.target import RebuiltNorm
from normwise.surgery.convert.to_batch_norm import set_on
from normwise.surgery.core.decision import LeftError

# https://github.com/meta-pytorch/opacus/issues/567
_ONE_VALUE = "it would normalise one value by itself, so that its output is β, whatever the input"


class _PerSample(RebuiltNorm):
    """Conversion to a norm of one sample at a time: ε, γ and β are kept, statistics are not."""

    is_batch_norm: ClassVar[bool] = False

    @property
    def settings(self) -> set[str]:
        """Return the only setting: there are no statistics."""
        return {"eps"}

    def _over(self, norm: NormDescription, kind: type[Any], *sizes: int) -> nn.Module:
        norm.notes += set_on(norm.batch, self.given)
        batch = norm.batch
        new = kind(
            *sizes,
            eps=batch.eps,
            affine=batch.affine,
            device=norm.like.device,
            dtype=norm.like.dtype,
        )
        new._parameters.update({name: batch._parameters[name] for name in PARAMETERS})
        return new


class ToGroupNorm(_PerSample):
    """Conversion to ``torch.nn.GroupNorm``, with a largest number of groups, or as many as suit each layer."""

    def __init__(self, name: str, given: Mapping[str, Any], groups: int | None) -> None:
        super().__init__(name, given)
        self.groups = groups

    def make(self, norm: NormDescription) -> nn.Module:
        """Return group norm with the most groups that divide the channels and have more than one value each."""
        channels = norm.batch.num_features
        # Without an example a group of one channel is assumed to have many positions.
        positions = 2 if norm.positions is None else norm.positions
        if channels * positions == 1:
            raise LeftError(_ONE_VALUE)
        had = norm.layer.num_groups if isinstance(norm.layer, nn.GroupNorm) else 1
        wanted = self.groups or (had if had > 1 else groups_of(channels))
        groups = next(
            groups
            for groups in range(min(wanted, channels), 0, -1)
            if channels % groups == 0 and channels // groups * positions > 1
        )
        if groups < wanted:
            each = "divide the channels" if channels % wanted else "leave each more than one value"
            norm.notes.append(f"{groups} groups and not {wanted}, so that they {each}")
        if groups == channels and norm.positions is None:
            norm.notes.append("each channel is a group, which works only over several positions")
        return self._over(norm, nn.GroupNorm, groups, channels)


class ToInstanceNorm(_PerSample):
    """Conversion to ``torch.nn.InstanceNorm1d``, ``2d`` or ``3d``."""

    def make(self, norm: NormDescription) -> nn.Module:
        """Return instance norm, if the layer is known to see several positions."""
        if norm.shape is not None and len(norm.shape) < 3:
            raise LeftError(f"an input of shape {tuple(norm.shape)} has no positions to normalise over")
        if norm.positions == 1:
            raise LeftError(_ONE_VALUE)
        if norm.dimensions is None:
            raise LeftError("nothing tells how many axes its input has; pass an example")
        if norm.shape is None and norm.dimensions == 1 and norm.base is not nn.InstanceNorm1d:
            raise LeftError(
                "its input may be (N, C), which has no positions to normalise over; pass an example"
            )
        kind = next(
            kind
            for kind, traits in TORCH.items()
            if traits.family == "instance" and norm.dimensions in traits.dimensions
        )
        return self._over(norm, kind, norm.batch.num_features)
