"""The smallest network with BN."""

import math

from torch import Tensor, nn

from normwise.models.parts.input_checks import ImageShape
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.norm_block import NormBlock, Placement


class DenseBN(nn.Module):
    """Dense 128, norm, ReLU, dense classes.

    Args:
        shape: Channels, height and width of an image; any.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        placement: Normalise before or after the ReLU.
        bias: Whether the hidden layer has a bias (which BN before the activation cancels).
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        *,
        norm: NormChoice = "batch",
        placement: Placement = "before",
        bias: bool = True,
    ):
        super().__init__()
        self.hidden = NormBlock(nn.Linear(math.prod(shape), 128, bias=bias), nn.ReLU(), norm, placement)
        self.output = nn.Linear(128, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        return self.output(self.hidden(images.flatten(1)))
