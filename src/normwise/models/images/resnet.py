"""The residual network that He et al. 2015 trained on CIFAR-10, section 4.2."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from normwise.errors import ModelError
from normwise.models.parts.input_checks import ImageShape, require_size
from normwise.models.parts.norm import NormChoice, NormFactory, norm_factory


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with norm, and a shortcut without parameters (the paper's option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: NormFactory):
        super().__init__()
        # No biases: the norm behind cancels them, and without one the paper's net is not trained anyway.
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = norm(outputs, 2)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs, 2)
        self.stride = stride
        self.new_channels = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` → ``(N, outputs, H/stride, W/stride)``."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels)))


class ResNet(nn.Module):
    """The CIFAR form: 6n+2 layers in three stages of 16, 32 and 64 channels, BN before each ReLU.

    Args:
        shape: Channels, height and width of an image; meant for 3×32×32, at least 4×4.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        depth: 6n+2, such as 20, 32, 44, 56 or 110.
    """

    def __init__(self, shape: ImageShape, classes: int, *, norm: NormChoice = "batch", depth: int = 20):
        super().__init__()
        require_size("resnet", shape, 4)
        if depth < 8 or depth % 6 != 2:
            raise ModelError(f"resnet needs a depth of 6n+2 (8, 14, 20, 32, …), got {depth}")
        factory = norm_factory(norm)
        self.conv = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        self.norm = factory(16, 2)
        widths = [16] * (depth // 6) + [32] * (depth // 6) + [64] * (depth // 6)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(before, after, 1 if before == after else 2, factory)
                for before, after in pairwise([16, *widths])
            )
        )
        self.output = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        x = F.relu(self.norm(self.conv(images)))
        return self.output(self.blocks(x).mean((2, 3)))
