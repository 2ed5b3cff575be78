"""A stack of dense layers, as deep as asked for."""

import math
from typing import Literal

from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.models.parts.initialised import Initialisation, InitialisedLinear
from normwise.models.parts.input_checks import ImageShape
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.norm_block import NormBlock, Placement

#: Layers that dropout stands behind: each hidden one, each but the last, so that a norm follows, or the last alone.
DropoutPlace = Literal["each", "between", "last"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class PlainMLP(nn.Module):
    """Pixels → ``depth`` dense layers of ``width``, each with norm, activation and dropout → classes.

    Args:
        shape: Channels, height and width of an image; any.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.norm``.
        placement: Normalise before or after the activation.
        bias: Whether the hidden layers have a bias (which BN before the activation cancels).
        depth: Number of hidden layers.
        width: Units of a hidden layer.
        init: Initial weights, see ``normwise.models.parts.initialised``.
        hidden_scale: Factor on the initial weights and biases of the hidden layers, 0 or more.
        activation: "relu", "sigmoid" or "tanh".
        dropout: Probability to drop a unit.
        dropout_place: Drop units behind "each" hidden layer, "between" hidden layers, so that a norm follows, or behind
            the "last" one alone.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        *,
        norm: NormChoice = "batch",
        placement: Placement = "before",
        bias: bool = True,
        depth: int = 2,
        width: int = 64,
        init: Initialisation = "default",
        hidden_scale: float = 1.0,
        activation: str = "relu",
        dropout: float = 0.0,
        dropout_place: DropoutPlace = "each",
    ):
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ModelError(f"unknown activation {activation!r}; known are {', '.join(_ACTIVATIONS)}")
        if dropout_place not in ("each", "between", "last"):
            raise ModelError(
                f"unknown place of dropout {dropout_place!r}; known are 'each', 'between' and 'last'"
            )
        if dropout >= 1:
            raise ModelError(f"dropout is the probability to drop a unit, less than 1; got {dropout}")
        layers: list[nn.Module] = []
        inputs = math.prod(shape)
        for number in range(depth):
            layer = InitialisedLinear(inputs, width, bias=bias, init=init, scale=hidden_scale)
            layers.append(NormBlock(layer, _ACTIVATIONS[activation](), norm, placement))
            if dropout and dropout_place in ("each", "last" if number == depth - 1 else "between"):
                layers.append(nn.Dropout(dropout))
            inputs = width
        self.hidden = nn.Sequential(*layers)
        self.output = InitialisedLinear(width, classes, bias=True, init=init)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        return self.output(self.hidden(images.flatten(1)))
