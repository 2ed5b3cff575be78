"""The residual network that He et al. 2015 trained on CIFAR-10, section 4.2."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.errors import ModelError
from normwise.models.parts.initialised import Initialisation, initialised_conv2d
from normwise.models.parts.input_checks import ImageShape, require_size
from normwise.models.parts.norm import NormChoice, NormFactory, norm_factory


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with norm, and a shortcut without parameters (the paper's option A).

    With ``skip_init`` the convolutions' output is multiplied by a learnt number that starts at 0, so that the block
    starts as its shortcut (SkipInit: De & Smith 2020, Batch Normalization Biases Residual Blocks Towards the Identity
    Function in Deep Networks, §4).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        norm: NormFactory,
        *,
        bias: bool = False,
        init: Initialisation = "default",
        skip_init: bool = False,
    ):
        super().__init__()
        self.conv1 = initialised_conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias, init=init)
        self.norm1 = norm(outputs, 2)
        self.conv2 = initialised_conv2d(outputs, outputs, 3, padding=1, bias=bias, init=init)
        self.norm2 = norm(outputs, 2)
        self.gain = nn.Parameter(torch.zeros(())) if skip_init else None
        self.stride = stride
        self.new_channels = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, H, W)`` → ``(N, outputs, H/stride, W/stride)``."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.gain is not None:
            y = self.gain * y
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels)))


class ResNet(nn.Module):
    """The CIFAR form: 6n+2 layers in three stages of 16, 32 and 64 channels, BN before each ReLU.

    Args:
        shape: Channels, height and width of an image; meant for 3×32×32, at least 4×4.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        depth: 6n+2, such as 20, 32, 44, 56 or 110.
        width: Channels of the first stage; the second has twice as many, the third four times.
        bias: Whether the convolutions have a bias, which BN behind them cancels.
        init: Initial weights, see ``normwise.models.parts.initialised``.
        skip_init: Start each block as its shortcut.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        *,
        norm: NormChoice = "batch",
        depth: int = 20,
        width: int = 16,
        bias: bool = False,
        init: Initialisation = "default",
        skip_init: bool = False,
    ):
        super().__init__()
        require_size("resnet", shape, 4)
        if depth < 8 or depth % 6 != 2:
            raise ModelError(f"resnet needs a depth of 6n+2 (8, 14, 20, 32, …), got {depth}")
        factory = norm_factory(norm)
        self.conv = initialised_conv2d(shape[0], width, 3, padding=1, bias=bias, init=init)
        self.norm = factory(width, 2)
        stages = [channels for channels in (width, 2 * width, 4 * width) for _ in range(depth // 6)]
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(
                    before,
                    after,
                    1 if before == after else 2,
                    factory,
                    bias=bias,
                    init=init,
                    skip_init=skip_init,
                )
                for before, after in pairwise([width, *stages])
            )
        )
        self.output = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        x = F.relu(self.norm(self.conv(images)))
        return self.output(self.blocks(x).mean((2, 3)))
