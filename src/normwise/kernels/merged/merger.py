"""The protocol of what merges the moments of several batches."""

from typing import Protocol

from torch import Tensor

from normwise.kernels.torch_backend.primitives import ChannelMoments


class Merger(Protocol):
    """The union of this batch and others: it takes what belongs to this one, and returns what belongs to all."""

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        """Return the moments of the union; no gradient flows."""
        ...

    def gradient_sums(self, own: Tensor) -> Tensor:
        """Return the gradients of mean and variance, float64 ``(2, C)``, added up over the union."""
        ...
