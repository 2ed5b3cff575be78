"""Mean and variance of a batch, and their standard errors."""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Number of elements that are converted to float64 at a time: 32 MB.
_BLOCK = 2**22


@dataclass(frozen=True)
class MomentsWithErrors:
    """Mean and variance of a batch, per channel, and their standard errors; tensors are ``(C,)``, float64.

    Attributes:
        samples: Number of samples with a real position.
        values: Number of values per channel.
        mean: Mean of the values.
        var: Biased variance of the values, which normalises the batch.
        mean_error, var_error: Standard errors of mean and variance; NaN for a single sample.
    """

    samples: int
    values: int
    mean: Tensor
    var: Tensor
    mean_error: Tensor
    var_error: Tensor


def moments_with_errors(x: Tensor, mask: Tensor | None = None) -> MomentsWithErrors | None:
    r"""Return mean and variance of each channel with their standard errors, from the scatter between samples.

    The positions of a sample are dependent, the samples are independent. With the sums over a sample's :math:`n_i`
    positions of the deviations, :math:`d_i = \sum (x - \mu)`, and of their squares' excess,
    :math:`e_i = \sum ((x - \mu)^2 - \sigma^2)`, of :math:`N` samples and :math:`n` values in all:

    .. math::

        s_\mu = \frac{1}{n} \sqrt{\frac{N}{N - 1} \sum d_i^2} \qquad
        s_{\sigma^2} = \frac{1}{n} \sqrt{\frac{N}{N - 1} \sum e_i^2}

    For samples of equal size :math:`s_\mu` is the standard deviation of the samples' means over :math:`\sqrt{N}`.

    Args:
        x: Values ``(N, C, *)`` of any floating-point dtype.
        mask: Mask ``(N, *)``, True where a position is real; other positions may hold anything.

    Returns:
        The moments; None if no position of the batch is real.

    References:
        Cochran 1977, "Sampling Techniques", section 6.3, for the ratio of sums over clusters of unequal size.
    """
    positions = x.numel() // max(1, x.shape[0] * x.shape[1])
    real = None if mask is None else mask.flatten(1) if mask.dim() > 1 else mask[:, None]
    counts = (
        x.new_full((x.shape[0],), positions, dtype=torch.float64) if real is None else real.sum(1).double()
    )
    samples, values = (int(number) for number in torch.stack([(counts > 0).sum(), counts.sum()]).tolist())
    if values == 0 or x.shape[1] == 0:
        return None
    width = max(1, _BLOCK * x.shape[1] // x.numel())
    blocks = [_sums(block, real, counts, values) for block in x.split(width, 1)]
    mean, var, deviations, excesses = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    correction = samples / (samples - 1) if samples > 1 else torch.nan
    return MomentsWithErrors(
        samples,
        values,
        mean,
        var,
        (deviations * correction).sqrt() / values,
        (excesses * correction).sqrt() / values,
    )


def _sums(
    block: Tensor, real: Tensor | None, counts: Tensor, values: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mean and variance, and the sums over samples of their squared deviations and excesses."""
    centred = block.double().flatten(2) if block.dim() > 2 else block.double()[..., None]
    if real is not None:
        centred = centred.where(real[:, None], 0.0)
    mean = centred.sum((0, 2)) / values
    centred = centred - mean[:, None]
    if real is not None:
        centred = centred.where(real[:, None], 0.0)
    deviations = centred.sum(2)
    squares = centred.square_().sum(2)
    var = squares.sum(0) / values
    excesses = squares - counts[:, None] * var
    return mean, var, deviations.square().sum(0), excesses.square().sum(0)
