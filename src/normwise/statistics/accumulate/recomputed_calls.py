"""Calls of a layer that activation checkpointing repeats for one micro-batch, by the statistics of their union."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError
from normwise.functional import normalise
from normwise.layers import input_of_call, kind_of_norm
from normwise.statistics.accumulate.thread_state import saved_tensors_hooks
from normwise.statistics.moments import Moments

#: Families, as targets of a conversion, whose output is a function of their input and of the batch's moments.
_PLAIN = ("batch", "torch")


@dataclass(frozen=True)
class _Union:
    """A call for all micro-batches.

    Attributes:
        means: Mean of each micro-batch, ``(k, C)``, by which one of them is known again.
        mean, variance: Of all together.
    """

    means: Tensor
    mean: Tensor
    variance: Tensor


class RecomputedCalls:
    """Calls of one layer in the forward pass, to be repeated in the backward pass.

    ``torch.utils.checkpoint`` without reentrancy calls a layer again only for the values of its output. The graph, and
    what the layer's node in it keeps, are those of the first time.
    """

    def __init__(self, name: str, layer: nn.Module) -> None:
        kind = kind_of_norm(layer)
        self._name, self._layer = name, layer
        # Asked now: while the layer has another forward, it is not known to activate.
        self._eps, self._activation = kind.eps, kind.activation
        self._plain = kind.traits.conversion in _PLAIN and kind.forward_of is not None
        self._unions: list[_Union] = []
        self._has_graph = True

    def keep(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], sizes: Sequence[int]) -> None:
        """Keep the moments of a call for all micro-batches, if what it computes may be asked for again."""
        self._has_graph = self._has_graph and torch.is_grad_enabled()
        # Hooks on saved tensors are how such a checkpoint begins.
        x, mask = input_of_call(args, kwargs), kwargs.get("mask")
        if not self._plain or saved_tensors_hooks() is None or x is None or x.dim() < 2:
            return
        masks = [None] * len(sizes) if mask is None else mask.split(list(sizes))
        parts = [Moments.of(part, real) for part, real in zip(x.split(list(sizes)), masks, strict=True)]
        union = Moments.merge(parts)
        variance = union.m2 / max(union.count, 1)
        self._unions.append(_Union(torch.stack([part.mean for part in parts]), union.mean, variance))

    def output(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        """Return what the layer has computed for one micro-batch in the forward pass.

        Raises:
            ArgumentError: that is not known.
        """
        x = input_of_call(args, kwargs)
        if not self._unions or not self._has_graph or x is None:
            raise ArgumentError(
                f"{self._name} is called in the backward pass, by activation checkpointing, for one micro-batch alone. "
                f"{self._reason()}"
            )
        mask, layer = kwargs.get("mask"), self._layer
        own = Moments.of(x, mask).mean
        distances = torch.stack([(union.means - own).abs().sum(1).min() for union in self._unions])
        union = self._unions[int(distances.argmin())]
        with torch.no_grad():
            y = normalise(
                x,
                union.mean,
                torch.rsqrt(union.variance + self._eps),
                getattr(layer, "weight", None),
                getattr(layer, "bias", None),
                activation=self._activation,
                residual=kwargs.get("residual"),
                mask=mask,
            )
        # Operators behind the layer keep tensors for a gradient only where there is one. A copy, since no leaf can be
        # changed in place.
        return y.requires_grad_().clone()

    def _reason(self) -> str:
        if not self._has_graph:
            return (
                "Its gradient can't flow to the other micro-batches there; use torch.utils.checkpoint with "
                "use_reentrant=False"
            )
        return "What it computed for the union can't be computed again; leave this layer out of what is checkpointed"
