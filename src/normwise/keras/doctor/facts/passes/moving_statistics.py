"""Distance of moving statistics from exact ones, and the noise that a healthy moving average has."""

import math
from typing import TYPE_CHECKING

import numpy as np

from normwise.keras.doctor.facts.model.norm_facts import Channels, NormFacts
from normwise.keras.doctor.facts.passes.moments import BatchMoments

if TYPE_CHECKING:
    from normwise.keras.doctor.facts.facts import Facts

# The bounds are those of torch's rules (normwise.doctor), to which a test holds them.
#: Errors of normalised values, in σ, below which a layer is healthy, whatever the noise of its batches.
FINE = 0.15
#: Error from which statistics are bad, whatever the effect on the outputs, as in ``calibrate``.
BAD = 0.5
#: Largest error of a healthy moving average, in multiples of its noise.
TIMES_NOISE = 4.0
#: Share of the initial statistics in the moving ones above which there were too few steps.
INITIAL_SHARE = 0.05
#: Weight of a new batch from which the moving average keeps little more than the last one.
HIGH_MOMENTUM = 0.5


def error_of(mean: Channels, variance: Channels, exact: tuple[Channels, Channels], eps: float) -> float:
    r"""Return the error of values normalised by a mean and a variance, in σ.

    It is the root mean square over data and channels, with :math:`s^2 = \sigma^2 + \epsilon` and :math:`s_0^2`
    likewise, :math:`\sqrt{\overline{(\mu - \mu_0)^2 / s^2 + \sigma^2 (1 / s_0 - 1 / s)^2}}`. Infinite where a
    variance is negative or a number is not finite.
    """
    own, right = variance + eps, exact[1] + eps
    if mean.shape != exact[0].shape or not (
        np.isfinite(mean).all() and (own > 0).all() and np.isfinite(own).all()
    ):
        return math.inf
    spread = exact[1].clip(0) * np.square(1 / np.sqrt(own) - 1 / np.sqrt(right.clip(1e-30)))
    return float(np.sqrt(np.mean(np.square(mean - exact[0]) / own + spread)))


def averaging_noise(norm: NormFacts, moments: BatchMoments) -> float:
    """Return the error of a moving average over such batches in a healthy model, in σ.

    Means and variances of batches scatter; the moving average keeps a part of that, and so do the exact statistics
    of few batches.
    """
    batches = len(moments.calls)
    means = np.square(np.nan_to_num(moments.mean_noise))
    variances = np.square(np.nan_to_num(moments.variance_noise))
    if batches == 1:
        # The scatter between batches is unknown; estimate it from the samples of one batch.
        whole = moments.calls[0].variance.clip(1e-30)
        means = (np.nan_to_num(moments.sample_scatter[0]) / max(moments.samples[0], 1) / whole).clip(max=1)
        variances = 2 * means
    share = norm.new_share
    average = share / max(2 - share, 1e-3) + 1 / batches
    return float(np.sqrt((means + variances / 4).mean() * average))


def initial_share(norm: NormFacts) -> float:
    """Return the share of the initial mean 0 and variance 1 in the moving ones; NaN if unknown."""
    if norm.momentum is None or norm.steps is None:
        return math.nan
    share = (1 - norm.new_share) ** norm.steps
    # An average of variances that began at 1 is not below its share of that, unless it was replaced, as by calibrate.
    if norm.variance is not None and bool((norm.variance < 0.99 * share).any()):
        return math.nan
    return share


def layer_errors(facts: "Facts") -> dict[str, tuple[float, float]]:
    """Return error and noise of each measured layer, by path, without layers with invalid numbers."""
    found = {}
    for path, exact in facts.probe.exact_statistics.items():
        norm = facts.norms[path]
        if norm.mean is None or norm.variance is None or not norm.is_finite:
            continue
        error = error_of(norm.mean, norm.variance, exact, norm.eps)
        if math.isfinite(error):
            found[path] = error, averaging_noise(norm, facts.probe.moments[path])
    return found


def is_off(error: float, noise: float) -> bool:
    """Return whether an error is larger than in a healthy moving average."""
    return error > max(FINE, TIMES_NOISE * noise)
