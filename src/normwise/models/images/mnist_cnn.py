"""The small convolutional network of the MNIST tutorials."""

from torch import Tensor, nn

from normwise.models.parts.input_checks import ImageShape, require_size
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.norm_block import NormBlock, Placement


class MnistCNN(nn.Module):
    """Convolution 32 of 3×3, ReLU, norm, 2×2 max-pool, dense 128 ReLU, dense classes.

    Args:
        shape: Channels, height and width of an image, at least 4×4.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        placement: Normalise before or after the ReLU.
    """

    def __init__(
        self, shape: ImageShape, classes: int, *, norm: NormChoice = "batch", placement: Placement = "after"
    ):
        super().__init__()
        require_size("mnist_cnn", shape, 4)
        channels, height, width = shape
        self.features = NormBlock(nn.Conv2d(channels, 32, 3), nn.ReLU(), norm, placement)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(32 * ((height - 2) // 2) * ((width - 2) // 2), 128)
        self.activation = nn.ReLU()
        self.output = nn.Linear(128, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        features = self.pool(self.features(images)).flatten(1)
        return self.output(self.activation(self.hidden(features)))
