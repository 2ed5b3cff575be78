"""Mean and variance of a batch, and their standard errors, in NumPy float64."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Number of elements that are converted to float64 at a time: 32 MB.
_BLOCK = 2**22


@dataclass(frozen=True)
class MomentsWithErrors:
    """Mean and variance of a batch, per channel, and their standard errors; arrays are ``(C,)``.

    Attributes:
        samples: Number of samples with a real position.
        values: Number of values per channel.
        mean: Mean of the values.
        var: Biased variance of the values, which normalises the batch.
        mean_error, var_error: Standard errors of mean and variance; NaN for a single sample.
    """

    samples: int
    values: int
    mean: Array
    var: Array
    mean_error: Array
    var_error: Array


def moments_with_errors(x: NDArray[Any], real: NDArray[Any] | None = None) -> MomentsWithErrors | None:
    r"""Return mean and variance of each channel with their standard errors, from the scatter between samples.

    The positions of a sample are dependent, the samples are independent. With the sums over a sample's positions of
    the deviations, :math:`d_i = \sum (x - \mu)`, and of the excesses of their squares,
    :math:`e_i = \sum ((x - \mu)^2 - \sigma^2)`, of :math:`N` samples and :math:`n` values in all:

    .. math::

        s_\mu = \frac{1}{n} \sqrt{\frac{N}{N - 1} \sum d_i^2} \qquad
        s_{\sigma^2} = \frac{1}{n} \sqrt{\frac{N}{N - 1} \sum e_i^2}

    Args:
        x: Values ``(N, C, L)`` of any floating-point dtype.
        real: Boolean mask ``(N, L)``, True where a position is real; other positions may hold anything.

    Returns:
        The moments; None if no position of the batch is real.

    References:
        Cochran 1977, "Sampling Techniques", section 6.3, for the ratio of sums over clusters of unequal size.
    """
    counts = np.full(len(x), x.shape[2]) if real is None else real.sum(1)
    samples, values = int((counts > 0).sum()), int(counts.sum())
    if values == 0 or x.shape[1] == 0:
        return None
    width = max(1, _BLOCK * x.shape[1] // x.size)
    blocks = [
        _sums(x[:, first : first + width], real, counts, values) for first in range(0, x.shape[1], width)
    ]
    mean, var, deviations, excesses = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    correction = samples / (samples - 1) if samples > 1 else np.nan
    return MomentsWithErrors(
        samples,
        values,
        mean,
        var,
        np.sqrt(deviations * correction) / values,
        np.sqrt(excesses * correction) / values,
    )


def _sums(
    block: NDArray[Any], real: NDArray[Any] | None, counts: NDArray[Any], values: int
) -> tuple[Array, Array, Array, Array]:
    """Return mean and variance, and the sums over samples of their squared deviations and excesses."""
    here = np.True_ if real is None else real[:, None]
    centred = np.where(here, block.astype(np.float64), 0.0)
    mean = centred.sum((0, 2)) / values
    centred = np.where(here, centred - mean[:, None], 0.0)
    deviations = centred.sum(2)
    squares = np.square(centred).sum(2)
    var = squares.sum(0) / values
    excesses = squares - counts[:, None] * var
    return mean, var, np.square(deviations).sum(0), np.square(excesses).sum(0)
