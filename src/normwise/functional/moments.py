"""Moments of each channel of a batch, with gradients."""

from torch import Tensor

from normwise.kernels.call import check_axes, check_floating, check_mask
from normwise.kernels.torch_backend import primitives
from normwise.kernels.torch_backend.primitives import ChannelMoments


def moments(x: Tensor, mask: Tensor | None = None) -> ChannelMoments:
    r"""Return the count, mean and biased variance of each channel, the first third of batch normalization.

    .. math::

        m = |R| \qquad \mu = \frac{1}{m} \sum_{i \in R} x_i \qquad
        \sigma^2 = \frac{1}{m} \sum_{i \in R} (x_i - \mu)^2

    with the set :math:`R` of real positions: all axes but the channels', where ``mask`` is True. Without a real
    position the mean and the variance are 0.

    With :func:`normalise` and :func:`update_running` it makes layers that do something between the three: merge the
    moments of several processes, or split a batch. Moments of parts with counts :math:`m_k` merge exactly:

    .. math::

        m = \sum_k m_k \qquad \mu = \frac1m \sum_k m_k \mu_k \qquad
        \sigma^2 = \frac1m \sum_k m_k \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    Shape:
        ``x``: ``(N, C, *)``. ``mask``: ``(N, *)``. ``count`` is 0-dimensional, the same for all channels; ``mean`` and
        ``variance`` are ``(C,)``.

    Args:
        x: Input, of a floating type. Deviations from a first estimate of the mean are added up, in float32, or float64
            for float64: a mean of many deviations costs no digit. The moments are float64 for any input, so that their
            differences and merges cost none either (float32 on Apple's GPUs, which have no float64).
        mask: Boolean, True where a position is real. The others take no part, whatever they hold.

    Raises:
        ShapeError: fewer than two axes.
        MaskError: the mask's type, shape or device.
        ArgumentError: an input that is not of a floating type.

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
