"""Moments of a BN layer's inputs, batch by batch."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from normwise.statistics.moments import Moments
from normwise.statistics.observe.normalised_inputs import Call


def flattened(values: Tensor) -> Tensor:
    """Return values as ``(N, C, L)``."""
    return values.detach().flatten(2) if values.dim() > 2 else values.detach().unsqueeze(-1)


def sample_scatter(values: Tensor) -> Tensor:
    """Return the unbiased variance of the samples' own means, ``(C,)`` in float64; NaN for less than two."""
    flat = flattened(values)
    if flat.shape[-1] == 1:
        own = flat.squeeze(-1).double().cpu()
    else:
        own = flat.mean(-1, dtype=torch.float32 if flat.dtype.itemsize < 4 else None).double().cpu()
    return own.var(0) if len(own) > 1 else torch.full((own.shape[1],), torch.nan, dtype=torch.float64)


def extremes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest of the values ``(N, C, *)`` of each channel, ``(C,)`` in float64."""
    # First over the samples: if a sample has few values, all axes at once take ten times as long.
    low, high = values.amin(0), values.amax(0)
    if values.dim() > 2:
        low, high = low.flatten(1).amin(1), high.flatten(1).amax(1)
    return low.double().cpu(), high.double().cpu()


@dataclass
class BatchMoments:
    """Moments of a slot's inputs, call by call, after layers that normalise by the batch.

    Attributes:
        counts: Number of values per channel of each call.
        samples: Number of samples of each call.
        means, variances: Means and biased variances ``(C,)`` of each call, float64.
        sample_scatter: Unbiased variance ``(C,)`` of the samples' own means of each call; NaN for one sample.
        low, high: Least and greatest value ``(C,)`` of all calls, float64.
        shape: Shape of the values of the first call.
        dtype: Type of the values of the first call.
        not_finite: Number of calls with values that are not finite, which the lists leave out.
    """

    counts: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    means: list[Tensor] = field(default_factory=list)
    variances: list[Tensor] = field(default_factory=list)
    sample_scatter: list[Tensor] = field(default_factory=list)
    low: Tensor = field(default_factory=lambda: torch.tensor(torch.inf))
    high: Tensor = field(default_factory=lambda: torch.tensor(-torch.inf))
    shape: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    not_finite: int = 0

    def add(self, call: Call, moments: Moments) -> None:
        """Add a call."""
        if not self.shape:
            self.shape, self.dtype = tuple(call.values.shape), call.values.dtype
        # A sum is finite only if all summands are.
        if not math.isfinite((moments.m2 + moments.mean).sum()):
            self.not_finite += 1
            return
        if moments.count == 0:
            return
        self.counts.append(moments.count)
        self.samples.append(len(call.values))
        self.means.append(moments.mean.cpu())
        self.variances.append(moments.variance.cpu())
        self.sample_scatter.append(sample_scatter(call.values))
        low, high = extremes(call.values.detach())
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)

    @property
    def mean_noise(self) -> Tensor:
        """Return the standard deviation of the calls' means over that of all values, ``(C,)``; NaN for one call."""
        if len(self.means) < 2:
            return torch.full_like(self.means[0], torch.nan) if self.means else torch.empty(0)
        means, variances = torch.stack(self.means), torch.stack(self.variances)
        whole = variances.mean(0) + means.var(0, correction=0)
        return means.std(0) / whole.sqrt().clamp_min(1e-30)

    @property
    def variance_noise(self) -> Tensor:
        """Return the standard deviation of the calls' variances over their mean, ``(C,)``; NaN for one call."""
        if len(self.means) < 2:
            return torch.full_like(self.means[0], torch.nan) if self.means else torch.empty(0)
        variances = torch.stack(self.variances)
        return variances.std(0) / variances.mean(0).clamp_min(1e-30)

    @property
    def sample_noise(self) -> Tensor:
        r"""Return the standard error of a call's mean for samples in random order, over the deviation, ``(C,)``.

        Root of :math:`s^2 / N` over the variance of all values, with :math:`s^2` the variance of the samples' own
        means within a call; NaN where no call has two samples. Its inverse square is the number of independent values
        that a call's mean rests on. An order of the samples, by class or otherwise, makes no difference to it.
        """
        usable = [i for i, samples in enumerate(self.samples) if samples > 1]
        if not usable:
            return torch.full_like(self.means[0], torch.nan) if self.means else torch.empty(0)
        errors = torch.stack([self.sample_scatter[i] / self.samples[i] for i in usable])
        means, variances = torch.stack(self.means), torch.stack(self.variances)
        whole = variances.mean(0) + means.var(0, correction=0)
        # Of batches of one size and a smaller last one, the median is that of the usual ones.
        return (errors.median(0).values / whole.clamp_min(1e-30)).sqrt()

    @property
    def order_ratio(self) -> Tensor:
        r"""Return the scatter of the calls' means, relative to samples in random order, ``(C,)``; then it is about 1.

        With :math:`s^2` the variance of the samples' means within the calls, :math:`N \,\mathrm{Var}_b(\mu_b) / s^2`:
        Fisher's F statistic of a one-way analysis of variance. It is NaN if unknown.
        """
        usable = [i for i, samples in enumerate(self.samples) if samples > 1]
        if len(usable) < 2:
            return torch.full_like(self.means[0], torch.nan) if self.means else torch.empty(0)
        means = torch.stack([self.means[i] for i in usable])
        sizes = torch.tensor([self.samples[i] for i in usable], dtype=torch.float64)
        scatter = torch.stack([self.sample_scatter[i] for i in usable])
        within = ((sizes - 1)[:, None] * scatter).sum(0) / (sizes - 1).sum()
        centre = (sizes[:, None] * means).sum(0) / sizes.sum()
        between = (sizes[:, None] * (means - centre).square()).sum(0) / (len(usable) - 1)
        return between / within.clamp_min(1e-30)
