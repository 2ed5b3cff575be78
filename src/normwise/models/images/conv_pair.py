"""Two convolutions with BN, as in the tutorials' second example."""

from torch import Tensor, nn

from normwise.models.parts.input_checks import ImageShape, require_size
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.norm_block import NormBlock, Placement


class ConvPair(nn.Module):
    """Two convolutions of 64 3×3 with padding, each with norm and ReLU, 2×2 max-pool, dense classes.

    Args:
        shape: Channels, height and width of an image, at least 2×2.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        placement: Normalise before or after the ReLU.
        bias: Whether the convolutions have a bias (which BN before the activation cancels).
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
        require_size("conv_pair", shape, 2)
        channels, height, width = shape
        self.first = NormBlock(nn.Conv2d(channels, 64, 3, padding=1, bias=bias), nn.ReLU(), norm, placement)
        self.second = NormBlock(nn.Conv2d(64, 64, 3, padding=1, bias=bias), nn.ReLU(), norm, placement)
        self.pool = nn.MaxPool2d(2)
        self.output = nn.Linear(64 * (height // 2) * (width // 2), classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        return self.output(self.pool(self.second(self.first(images))).flatten(1))
