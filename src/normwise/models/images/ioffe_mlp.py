"""The MNIST network of Ioffe & Szegedy 2015, section 4.1."""

import math
from itertools import pairwise

from torch import Tensor, nn

from normwise.models.parts.input_checks import ImageShape
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.norm_block import NormBlock, Placement


class GaussianLinear(nn.Linear):
    """A dense layer whose weights start Gaussian with a given deviation, and whose biases start at 0."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, std: float):
        self.std = std
        super().__init__(inputs, outputs, bias=bias)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        nn.init.normal_(self.weight, std=self.std)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class IoffeMLP(nn.Module):
    """Pixels → three layers of 100 sigmoid units → classes, small Gaussian initial weights.

    The paper normalises each hidden layer before the sigmoid and trains with batches of 60. It gives no
    deviation of the initial weights; 0.1 is ours.

    Args:
        shape: Channels, height and width of an image; any.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        placement: Normalise before or after the sigmoid.
        bias: Whether the hidden layers have a bias (which BN before the activation cancels).
        width: Units of a hidden layer.
        init_std: Deviation of the initial weights.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        *,
        norm: NormChoice = "batch",
        placement: Placement = "before",
        bias: bool = True,
        width: int = 100,
        init_std: float = 0.1,
    ):
        super().__init__()
        pixels = math.prod(shape)
        sizes = [pixels, width, width, width]
        self.hidden = nn.Sequential(
            *(
                NormBlock(GaussianLinear(i, o, bias=bias, std=init_std), nn.Sigmoid(), norm, placement)
                for i, o in pairwise(sizes)
            )
        )
        self.output = GaussianLinear(width, classes, bias=True, std=init_std)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        return self.output(self.hidden(images.flatten(1)))
