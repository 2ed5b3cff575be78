"""Calls of a layer that activation checkpointing repeats, with the statistics of all micro-batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError
from normwise.functional import moments, normalise, update_running
from normwise.kernels.call import one_value
from normwise.kernels.torch_backend.primitives import ChannelMoments
from normwise.layers import input_of_call, kind_of_norm
from normwise.statistics.accumulate.lock_step import LockStep

#: Families, by their names as conversion targets, whose output depends only on input and batch moments.
_PLAIN = ("batch", "torch")


@dataclass(frozen=True)
class _Union:
    """Moments of a call for all micro-batches, without a graph.

    Attributes:
        means: Mean of each micro-batch, ``(k, C)``, which identifies a micro-batch.
        mean, variance: Mean and variance of all micro-batches together, ``(C,)``.
    """

    means: Tensor
    mean: Tensor
    variance: Tensor


class RecomputedCalls:
    """Calls of one layer that the backward pass repeats for one micro-batch at a time.

    ``torch.utils.checkpoint`` without reentrancy repeats a part of the model only for the tensors that its graph
    needs. So the tensors that the graph saves for one micro-batch must come from operators on that micro-batch
    alone: its moments, and its normalization by the merged moments. Only the merge, of numbers per channel,
    involves all.
    """

    def __init__(self, name: str, layer: nn.Module) -> None:
        kind = kind_of_norm(layer)
        self._name, self._layer = name, layer
        # Checked now, since the activation is not recognised while the layer has another forward.
        self._eps, self._activation = kind.eps, kind.activation
        #: Whether calls of the layer can be repeated.
        self.repeatable = kind.traits.conversion in _PLAIN and kind.forward_of is not None
        self._unions: list[_Union] = []

    def output(self, lock_step: LockStep, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        """Return the output for a micro-batch in the forward pass."""
        x: Any = input_of_call(args, kwargs)
        self._layer._check_input_dim(x)  # pyright: ignore[reportCallIssue]

        def merge(parts: list[ChannelMoments]) -> list[ChannelMoments]:
            with lock_step.saving_as_caller():
                merged = _merged(parts)
            if kwargs.get("mask") is None and merged.count == 1:
                raise one_value(x)
            self._unions.append(
                _Union(
                    torch.stack([part.mean.detach() for part in parts]),
                    merged.mean.detach(),
                    merged.variance.detach(),
                )
            )
            self._move(merged)
            return [merged] * len(parts)

        own = moments(x, kwargs.get("mask"))
        merged = lock_step.meet(f"{self._name}, to be recomputed", own, merge)
        return self._normalised(x, merged.mean, merged.variance, kwargs)

    def repeated(self, lock_step: LockStep, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        """Return the output for a micro-batch again, in the backward pass.

        Raises:
            ArgumentError: the layer's calls can't be repeated.
        """
        if not self._unions or not lock_step.saves_otherwise():
            raise ArgumentError(
                f"{self._name} is called in the backward pass, by activation checkpointing, for one micro-batch alone, "
                "and its gradient would lack the others. Use torch.utils.checkpoint with use_reentrant=False, and "
                "layers that can be recomputed: normwise.nn.BatchNorm1d, 2d, 3d and torch's; leave others out of it"
            )
        x: Any = input_of_call(args, kwargs)
        own = moments(x, kwargs.get("mask")).mean.detach()
        distances = torch.stack([(union.means - own).abs().sum(1).min() for union in self._unions])
        union = self._unions[int(distances.argmin())]
        # These require a gradient as the first time, so that the same operators save the same tensors.
        graph = x.requires_grad
        mean, variance = (value.clone().requires_grad_(graph) for value in (union.mean, union.variance))
        return self._normalised(x, mean, variance, kwargs)

    def _normalised(self, x: Tensor, mean: Tensor, variance: Tensor, kwargs: Mapping[str, Any]) -> Tensor:
        layer = self._layer
        return normalise(
            x,
            mean,
            torch.rsqrt(variance + self._eps),
            getattr(layer, "weight", None),
            getattr(layer, "bias", None),
            activation=self._activation,
            residual=kwargs.get("residual"),
            mask=kwargs.get("mask"),
        )

    def _move(self, merged: ChannelMoments) -> None:
        layer: Any = self._layer
        counter = layer.num_batches_tracked
        if layer.track_running_stats and (layer.momentum is not None or counter is not None):
            mean, variance = merged.mean.detach(), merged.variance.detach()
            update_running(
                layer.running_mean,
                layer.running_var,
                mean,
                variance,
                merged.count,
                layer.momentum,
                counter=counter,
            )


def _merged(parts: list[ChannelMoments]) -> ChannelMoments:
    """Return the moments of all parts, with gradients."""
    counts = torch.stack([part.count for part in parts])
    shares = (counts / counts.sum().clamp(min=1))[:, None]
    means, variances = (torch.stack(each) for each in list(zip(*parts, strict=True))[1:])
    mean = (shares * means).sum(0)
    variance = (shares * (variances + (means - mean).square())).sum(0)
    return ChannelMoments(counts.sum(), mean, variance)
