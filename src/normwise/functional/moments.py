"""Moments of each channel of a batch, with gradients."""

from torch import Tensor

from normwise.kernels.call import check_axes, check_floating, check_mask
from normwise.kernels.torch_backend import primitives
from normwise.kernels.torch_backend.primitives import ChannelMoments


def moments(x: Tensor, mask: Tensor | None = None) -> ChannelMoments:
    r"""Return the count, mean and biased variance of each channel, the first of BN's three parts.

    .. math::

        m = |R| \qquad \mu = \frac{1}{m} \sum_{i \in R} x_i \qquad
        \sigma^2 = \frac{1}{m} \sum_{i \in R} (x_i - \mu)^2

    with the set :math:`R` of real positions: all axes except the channels, where ``mask`` is True. If no position
    is real, mean and variance are 0.

    With :func:`normalise` and :func:`update_running` you can build layers that do something between these parts:
    merge the moments of several processes, or split a batch. Moments of parts with counts :math:`m_k` merge
    exactly:

    .. math::

        m = \sum_k m_k \qquad \mu = \frac1m \sum_k m_k \mu_k \qquad
        \sigma^2 = \frac1m \sum_k m_k \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    Shape:
        ``x``: ``(N, C, *)``. ``mask``: ``(N, *)``. ``count`` is 0-dimensional, the same for all channels; ``mean`` and
        ``variance`` are ``(C,)``.

    Args:
        x: Input, of a floating-point dtype. The sums are over deviations from a first estimate of the mean, in
            float32 (float64 for float64), so a mean that is many deviations from 0 loses no digits. The moments are
            float64 for any input, so that their differences and merges lose none either (float32 on Apple's GPUs,
            which have no float64).
        mask: Boolean mask, True where a position is real. Other positions take no part, whatever they hold.

    Raises:
        ShapeError: the input has fewer than two axes.
        MaskError: the mask has a wrong dtype, shape or device.
        ArgumentError: the input's dtype is not floating-point.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1, lines 1 and 2. Merging: Chan, Golub &
        LeVeque 1983, equations 2.1 and 2.2.

    Example:
        >>> import torch, normwise
        >>> x = torch.tensor([[1.0], [3.0], [99.0]])
        >>> count, mean, variance = normwise.functional.moments(x, torch.tensor([True, True, False]))
        >>> count.item(), mean.item(), variance.item()
        (2.0, 2.0, 1.0)
    """
    check_axes(x)
    check_floating(x)
    if mask is not None:
        check_mask(mask, x)
    return primitives.moments(x, mask)
