"""Distance of running statistics from exact ones, and the noise that a healthy running average has."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.batch_moments import BatchMoments
from normwise.doctor.facts.passes.probe import Probe

#: Errors of normalised values, in σ, below which a layer is healthy, whatever the noise of its batches.
FINE = 0.15
#: Largest error of a healthy running average, in multiples of its noise.
TIMES_NOISE = 4.0
#: Share of the initial statistics in the running ones above which there were too few steps.
INITIAL_SHARE = 0.05
#: Momentum of torch's layers from which the running average keeps little more than the last batch.
HIGH_MOMENTUM = 0.5


def error_of(mean: Tensor, variance: Tensor, exact: tuple[Tensor, Tensor], eps: float | None) -> float:
    r"""Return the error of values normalised by a mean and a variance, in σ.

    It is the root mean square over data and channels, with :math:`s^2 = \sigma^2 + \epsilon` and :math:`s_0^2`
    likewise, :math:`\sqrt{\overline{(\mu - \mu_0)^2 / s_0^2 + \sigma^2 (1 / s_0 - 1 / s)^2}}`. A constant channel
    has no error of the variance. The error is infinite if a variance is negative or a number is not finite.
    """
    mean, variance = mean.double(), variance.double()
    added = 1e-5 if eps is None else eps
    own, right = variance + added, exact[1].double() + added
    if mean.shape != exact[0].shape or not bool(
        mean.isfinite().all() and (own > 0).all() and own.isfinite().all()
    ):
        return math.inf
    spread = exact[1].double().clamp_min(0) * (own.rsqrt() - right.clamp_min(1e-30).rsqrt()).square()
    squares = (mean - exact[0]).square() / own + spread
    return squares.mean().sqrt().item()


def averaging_noise(norm: NormFacts, moments: BatchMoments) -> float:
    """Return the error of a running average over such batches in a healthy model, in σ.

    Means and variances of batches scatter; the running average keeps a part of that, and so do the exact statistics
    of few batches.
    """
    batches = len(moments.counts)
    means = moments.mean_noise.nan_to_num().square()
    variances = moments.variance_noise.nan_to_num().square()
    if batches == 1:
        # The scatter between batches is unknown; estimate it from the samples of one batch.
        whole = moments.variances[0].clamp_min(1e-30)
        means = (moments.sample_scatter[0].nan_to_num() / max(moments.samples[0], 1) / whole).clamp_max(1)
        variances = 2 * means
    momentum = effective_momentum(norm)
    average = momentum / max(2 - momentum, 1e-3) + 1 / batches
    return float(((means + variances / 4).mean() * average).sqrt())


def effective_momentum(norm: NormFacts) -> float:
    """Return the weight of a new batch in the running statistics; for a cumulative average, of the last batch."""
    if isinstance(norm.momentum, (int, float)):
        return min(max(float(norm.momentum), 0.0), 1.0)
    return 1 / max(norm.steps or 1, 1) if norm.momentum is None else 0.1


def initial_share(norm: NormFacts) -> float:
    """Return the share of the initial mean 0 and variance 1 in the running statistics; NaN if unknown."""
    if not isinstance(norm.momentum, (int, float)) or norm.steps is None:
        return math.nan
    share = (1 - effective_momentum(norm)) ** max(norm.steps, 0)
    # An average of variances that began at 1 is not below its share of that, unless it was replaced, as by calibrate.
    if norm.variance is not None and bool((norm.variance < 0.99 * share).any()):
        return math.nan
    return share


def layer_errors(norms: Mapping[str, NormFacts], probe: Probe) -> dict[str, tuple[float, float]]:
    """Return error and noise of each measured slot, by path, without slots with invalid numbers."""
    found = {}
    for path, norm in norms.items():
        exact, moments = probe.exact_statistics.get(path), probe.moments.get(path)
        if exact is None or moments is None or not moments.counts or path not in probe.layers:
            continue
        if norm.mean is None or norm.variance is None or not norm.is_finite:
            continue
        error = error_of(norm.mean, norm.variance, exact, norm.eps)
        if math.isfinite(error):
            found[path] = error, averaging_noise(norm, moments)
    return found


def is_off(error: float, noise: float) -> bool:
    """Return whether an error is larger than in a healthy running average."""
    return error > max(FINE, TIMES_NOISE * noise)


def is_near_initial(norm: NormFacts) -> bool:
    """Return whether the running statistics are 0 and 1 up to rounding."""
    if norm.mean is None or norm.variance is None:
        return False
    held = torch.stack([norm.mean.double().abs(), (norm.variance.double() - 1).abs()])
    return bool((held < 0.02).all())
