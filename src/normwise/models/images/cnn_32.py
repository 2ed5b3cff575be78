"""The tutorials' network for colour images of 32×32."""

from torch import Tensor, nn

from normwise.models.parts.input_checks import ImageShape, require_size
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.norm_block import NormBlock, Placement


class CNN32(nn.Module):
    """Convolution 16 of 3×3 with padding, norm, ReLU, 2×2 max-pool, dense classes.

    Args:
        shape: Channels, height and width of an image; meant for 3×32×32, at least 2×2.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        placement: Normalise before or after the ReLU.
        hidden: Units of a dense layer with norm and ReLU, such as 128, which stands
            before the output; 0 for none.
        pooled: With a number such as 4, average each channel to 4×4 positions, so that fewer features are read by
            what follows; 0 for none.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        *,
        norm: NormChoice = "batch",
        placement: Placement = "before",
        hidden: int = 0,
        pooled: int = 0,
    ):
        super().__init__()
        require_size("cnn_32", shape, 2)
        channels, height, width = shape
        self.features = NormBlock(nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), norm, placement)
        self.pool = (
            nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(pooled)) if pooled else nn.MaxPool2d(2)
        )
        size = 16 * (pooled**2 or (height // 2) * (width // 2))
        self.hidden = (
            NormBlock(nn.Linear(size, hidden), nn.ReLU(), norm, placement) if hidden else nn.Identity()
        )
        self.output = nn.Linear(hidden or size, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        return self.output(self.hidden(self.pool(self.features(images)).flatten(1)))
