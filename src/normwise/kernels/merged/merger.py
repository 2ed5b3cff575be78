"""Protocol for merging the moments of several batches."""

from typing import Protocol

from torch import Tensor

from normwise.kernels.torch_backend.primitives import ChannelMoments


class Merger(Protocol):
    """Union of this batch and others: it takes values of this batch, and returns those of the union."""

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        """Return the moments of the union, without a gradient."""
        ...

    def gradient_sums(self, own: Tensor) -> Tensor:
        """Return the gradients of mean and variance, float64 ``(2, C)``, summed over the union."""
        ...
