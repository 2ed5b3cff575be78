"""The tutorials' network for colour images of 64×64."""

from torch import Tensor, nn

from normwise.models.parts.input_checks import ImageShape, require_size
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.norm_block import NormBlock, Placement


class CNN64(nn.Module):
    """Convolutions 32 and 64 of 3×3, each ReLU, norm, 2×2 max-pool; dense 128 ReLU, norm; dense classes.

    These are the layers' sizes with the ``width`` of 32.

    Args:
        shape: Channels, height and width of an image; meant for 3×64×64, at least 10×10.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        placement: Normalise before or after the ReLU.
        width: Channels of the first convolution; the second has twice as many, the dense layer four times.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        *,
        norm: NormChoice = "batch",
        placement: Placement = "after",
        width: int = 32,
    ):
        super().__init__()
        require_size("cnn_64", shape, 10)
        channels, rows, columns = shape
        self.features = nn.Sequential(
            NormBlock(nn.Conv2d(channels, width, 3), nn.ReLU(), norm, placement),
            nn.MaxPool2d(2),
            NormBlock(nn.Conv2d(width, 2 * width, 3), nn.ReLU(), norm, placement),
            nn.MaxPool2d(2),
        )
        size = 2 * width * (((rows - 2) // 2 - 2) // 2) * (((columns - 2) // 2 - 2) // 2)
        self.hidden = NormBlock(nn.Linear(size, 4 * width), nn.ReLU(), norm, placement)
        self.output = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        return self.output(self.hidden(self.features(images).flatten(1)))
