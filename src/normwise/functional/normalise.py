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

    Gradients flow to all tensors, including ``mean`` and ``inverse_deviation``: with the results of
    :func:`moments`, the output and all gradients are those of :func:`batch_norm` in training.

    Shape:
        ``x``, ``residual`` and the output: ``(N, C, *)``. ``mean``, ``inverse_deviation``, ``weight`` (γ) and ``bias``
        (β): ``(C,)``. ``mask``: ``(N, *)``.

    Args:
        x: Input, of a floating-point dtype, which is also the output's. float16 and bfloat16 are computed in
            float32.
        mean: Means :math:`\mu`. A float64 mean is subtracted in full precision, also from a float32 input.
        inverse_deviation: Inverse deviations :math:`s`, such as ``torch.rsqrt(variance + eps)``. In float64 no
            power of it overflows.
        weight, bias: γ and β; None for 1 and 0.
        activation: Activation, a name in :data:`normwise.functional.ACTIVATIONS`, or None.
        residual: Tensor that is added before the activation.
        mask: Boolean mask, True where a position is real. The output of other positions is 0, and no gradient flows
            through them.

    Raises:
        ShapeError: the input has fewer than two axes or a wrong number of channels, or the residual has another
            shape.
        MaskError: the mask has a wrong dtype, shape or device.
        ArgumentError: the activation is unknown, the input's dtype is not floating-point, or the residual is on
            another device.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1, lines 3 and 4.

    Example:
        Two halves of a batch, as in two processes, normalised by the joint statistics:

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
