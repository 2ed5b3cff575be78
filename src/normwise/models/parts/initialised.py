"""Layers that start from the initial weights that are asked for."""

from typing import Any, Literal

from torch import nn

from normwise.errors import ModelError

#: Initial weights: torch's own, uniform within 1 / √inputs; or Gaussian of deviation √(2 / inputs) with biases of 0 (He
#: et al. 2015, Delving Deep into Rectifiers, §2.2).
Initialisation = Literal["default", "he"]


class InitialisedLinear(nn.Linear):
    """A dense layer with such weights, times ``scale``, its bias, too."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool, init: Initialisation, scale: float = 1.0):
        self.init, self.scale = _known(init), scale
        super().__init__(inputs, outputs, bias=bias)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        if self.init == "he":
            _draw_he(self)
        for parameter in self.parameters():
            parameter.data.mul_(self.scale)


class HeConv2d(nn.Conv2d):
    """A convolution that starts from the weights of He et al."""

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()
        _draw_he(self)


def initialised_conv2d(
    inputs: int, outputs: int, size: int, *, init: Initialisation, **options: Any
) -> nn.Conv2d:
    """Return a convolution with such weights: torch's own layer where they are torch's own."""
    kind = HeConv2d if _known(init) == "he" else nn.Conv2d
    return kind(inputs, outputs, size, **options)


def _known(init: Initialisation) -> Initialisation:
    if init not in ("default", "he"):
        raise ModelError(f"unknown initialisation {init!r}; known are 'default' and 'he'")
    return init


def _draw_he(layer: nn.Linear | nn.Conv2d) -> None:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
