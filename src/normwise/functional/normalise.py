"""Normalization with given statistics, with gradients."""

from torch import Tensor

from normwise.kernels.call import (
    check_activation,
    check_axes,
    check_floating,
    check_mask,
    check_residual,
    check_sizes,
)
from normwise.kernels.torch_backend import primitives


def normalise(
    x: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    activation: str | None = None,
    residual: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Normalise each channel with given statistics, scale, shift, add a residual, activate.

    .. math::

        y = a\left(\gamma \, (x - \mu) \, s + \beta + r\right), \qquad s = \frac{1}{\sqrt{\sigma^2 + \epsilon}}

    Gradients flow to all tensors, ``mean`` and ``inverse_deviation`` among them: with those of :func:`moments` the
    output and all gradients are those of :func:`batch_norm` in training.

    Shape:
        ``x``, ``residual`` and the output: ``(N, C, *)``. ``mean``, ``inverse_deviation``, ``weight`` (γ) and ``bias``
        (β): ``(C,)``. ``mask``: ``(N, *)``.

    Args:
        x: Input, of a floating type, which is the output's. float16 and bfloat16 are computed in float32.
        mean: :math:`\mu`. In float64 it is subtracted to its last digit, also from a float32 input.
        inverse_deviation: :math:`s`, such as ``torch.rsqrt(variance + eps)``. In float64 no power of it overflows.
        weight, bias: γ and β; None for 1 and 0.
        activation: None, or a name in :data:`normwise.functional.ACTIVATIONS`.
        residual: Added before the activation.
        mask: Boolean, True where a position is real. The output of the others is 0, and nothing flows through them.

    Raises:
        ShapeError: fewer than two axes, a wrong number of channels, or a residual of another shape.
        MaskError: the mask's type, shape or device.
        ArgumentError: an unknown activation, an input that is not of a floating type, or a residual on another device.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1, lines 3 and 4.

    Example:
        Two halves of a batch, as two processes have them, normalised by the statistics of both:

        >>> import torch, normwise.functional as F
        >>> halves = torch.randn(8, 3).chunk(2)
        >>> counts, means, variances = map(torch.stack, zip(*map(F.moments, halves)))
        >>> mean = means.mean(0)
        >>> variance = (variances + (means - mean).square()).mean(0)
        >>> y = torch.cat([F.normalise(half, mean, torch.rsqrt(variance + 1e-5)) for half in halves])
        >>> torch.allclose(y, F.batch_norm(torch.cat(halves), None, None, training=True), atol=1e-5)
        True
    """
    check_axes(x)
    check_sizes(x, mean=mean, inverse_deviation=inverse_deviation, weight=weight, bias=bias)
    check_activation(activation)
    check_floating(x)
    if residual is not None:
        check_residual(residual, x)
    if mask is not None:
        check_mask(mask, x)
    return primitives.normalise(
        x, mean, inverse_deviation, weight, bias, activation=activation, residual=residual, mask=mask
    )
