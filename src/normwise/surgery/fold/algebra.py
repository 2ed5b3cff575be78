"""Algebra of folding a scale and a shift into weights of convolutions and linear layers, on tensors, in float64.

A weight is ``(outputs, inputs / groups, *kernel)``; for a transposed convolution it is ``(inputs, outputs / groups,
*kernel)``; for a linear layer it has no kernel and one group.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from normwise.layers import kind_of_norm


class Layout(NamedTuple):
    """Layout of a weight: the number of groups, and whether the axis of inputs comes before that of outputs."""

    groups: int = 1
    transposed: bool = False


_PLAIN = Layout()


def layout_of(layer: nn.Module) -> Layout:
    """Return the layout of the weight of a convolution or linear layer."""
    return Layout(getattr(layer, "groups", 1), isinstance(layer, nn.modules.conv._ConvTransposeNd))


def scale_and_shift(layer: nn.Module) -> tuple[Tensor, Tensor]:
    r"""Return scale and shift of each channel in evaluation, of shape ``(C,)``.

    .. math::

        y = s x + t, \quad s = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \quad t = \beta - s \mu
    """
    mean, var = _double(layer.get_buffer("running_mean")), _double(layer.get_buffer("running_var"))
    # Parameters of a layer that learns them, or buffers of another library's frozen layer.
    weight, bias = ((layer._parameters | layer._buffers).get(name) for name in ("weight", "bias"))
    scale = torch.rsqrt(var + kind_of_norm(layer).eps)
    if weight is not None:
        scale = scale * _double(weight)
    shift = -scale * mean
    return scale, shift if bias is None else shift + _double(bias)


def into_outputs(
    weight: Tensor,
    bias: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    layout: Layout = _PLAIN,
) -> tuple[Tensor, Tensor]:
    r"""Return the weight and bias that compute ``s · (W x + b) + t``.

    .. math::

        W' = s W, \quad b' = s b + t
    """
    new = _scaled(_double(weight), scale, layout.groups, axis=2 if layout.transposed else 1)
    return new, shift if bias is None else scale * _double(bias) + shift


def into_inputs(
    weight: Tensor,
    bias: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    layout: Layout = _PLAIN,
) -> tuple[Tensor, Tensor | None]:
    r"""Return the weight and bias that compute ``W (s x + t) + b``, if ``W`` is multiplied with nothing else.

    .. math::

        W' = W s, \quad b' = b + W t

    Zero padding pads ``x``, not ``s x + t``: with padding, as in each transposed convolution, the shift must be
    zero, and adds nothing to the bias.
    """
    weight = _double(weight)
    new = _scaled(weight, scale, layout.groups, axis=1 if layout.transposed else 2)
    if not shift.any():
        return new, None if bias is None else _double(bias)
    if layout.transposed:
        raise ValueError("a shift before a transposed convolution is not a bias after it")
    added = _scaled(weight, shift, layout.groups, axis=2).flatten(1).sum(1)
    return new, added if bias is None else _double(bias) + added


def _scaled(weight: Tensor, factor: Tensor, groups: int, axis: int) -> Tensor:
    """Multiply ``factor`` along an axis of the weight as ``(groups, first axis / groups, second axis, *kernel)``."""
    grouped = weight.unflatten(0, (groups, -1))
    shape = [groups, 1, 1] + [1] * (weight.dim() - 2)
    shape[axis] = -1
    return (grouped * factor.reshape(shape)).flatten(0, 1)


def _double(tensor: Tensor) -> Tensor:
    # On the CPU, since not every device has float64.
    return tensor.detach().cpu().double()
