"""Proof that a subclass of a convolution or linear layer with its own forward scales like its weights."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from normwise.layers.overridden import computes_as
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.fold.algebra import into_outputs, layout_of

_CLOSE = 1e-9


def scales_outputs(module: nn.Module, arguments: Arguments) -> bool:
    r"""Return whether a layer with its own forward may take over a BN layer after it.

    It may if any scale and shift of weight and bias scales and shifts its outputs in the same way:

    .. math::

        f(x; s W, s b + t) = s f(x; W, b) + t

    This is true for a layer that pads differently, converts dtypes or logs, and false for one that normalises its
    weight. It is checked in float64, with the layer's input on the example and random scales.

    Args:
        module: Module to check; the result is False except for subclasses of ``Conv1d`` to ``3d``, their transposes
            and ``Linear`` with their own forward.
        arguments: Arguments of a call with the example.
    """
    base = next((base for base in (nn.Linear, nn.modules.conv._ConvNd) if isinstance(module, base)), None)
    tensors = [value for value in arguments[0] if isinstance(value, Tensor)]
    if base is None or len(tensors) != 1 or len(arguments[0]) != 1 or arguments[1] or module._modules:
        return False
    known = next(kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn."))
    if computes_as(module, known) or "forward" in vars(module) or len(module._parameters) != 2:
        return False
    with unchanged(module), torch.no_grad():
        try:
            other: Any = copy.deepcopy(module).eval().cpu().double()
            x = tensors[0].detach().cpu().double()
            before = type(other).forward(other, x.clone())
            channels = before.shape[-1 if base is nn.Linear else 1]
            generator = torch.Generator().manual_seed(0)
            scale = 0.5 + torch.rand(channels, generator=generator, dtype=torch.float64)
            shift = torch.randn(channels, generator=generator, dtype=torch.float64)
            weight, bias = into_outputs(
                other.get_parameter("weight"), other._parameters["bias"], scale, shift, layout_of(other)
            )
            other.register_parameter("weight", nn.Parameter(weight))
            other.register_parameter("bias", nn.Parameter(bias))
            after = type(other).forward(other, x.clone())
        except Exception:  # the user's forward may raise anything: then it is not proven
            return False
    shape = [1] * before.dim()
    shape[-1 if base is nn.Linear else 1] = -1
    expected = before * scale.reshape(shape) + shift.reshape(shape)
    return bool((after - expected).abs().max() <= _CLOSE * expected.abs().max())
