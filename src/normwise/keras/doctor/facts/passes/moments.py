"""Moments of a BN layer's inputs, batch by batch, in NumPy float64."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normwise.keras.doctor.facts.model.norm_facts import Channels


@dataclass(frozen=True)
class Moments:
    """Mean and biased variance of each channel.

    Attributes:
        count: Number of values per channel.
        mean, variance: Mean and biased variance of each channel, ``(C,)``.
    """

    count: int
    mean: Channels
    variance: Channels

    @classmethod
    def of(cls, values: NDArray[Any], real: NDArray[Any] | None = None) -> "Moments":
        """Return the moments of values ``(N, C, L)`` at the real positions ``(N, L)``."""
        flat = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).astype(np.float64)
        if real is not None:
            flat = flat[:, real.reshape(-1)]
        if not flat.shape[1]:
            return cls(0, np.zeros(len(flat)), np.zeros(len(flat)))
        with np.errstate(invalid="ignore", over="ignore"):  # the values may be infinite or NaN
            return cls(flat.shape[1], flat.mean(1), flat.var(1))

    @classmethod
    def merge(cls, parts: "Sequence[Moments]") -> "Moments":
        """Return the moments of all parts together."""
        count = sum(part.count for part in parts)
        shares = [part.count / max(count, 1) for part in parts]
        mean = sum(share * part.mean for share, part in zip(shares, parts, strict=True))
        variance = sum(
            share * (part.variance + np.square(part.mean - mean))
            for share, part in zip(shares, parts, strict=True)
        )
        return cls(count, np.asarray(mean), np.asarray(variance))


@dataclass
class BatchMoments:
    """Moments of a layer's inputs, call by call, after layers that normalise by the batch.

    Attributes:
        calls: Moments of each call that has values, all finite.
        samples: Number of samples of each call.
        sample_scatter: Unbiased variance ``(C,)`` of the samples' own means of each call; NaN for one sample.
        low, high: Least and greatest value ``(C,)`` of all calls.
        dtype: Dtype of the values of the first call.
        not_finite: Number of calls with values that are not finite, which the lists leave out.
    """

    calls: list[Moments] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    sample_scatter: list[Channels] = field(default_factory=list)
    low: Any = np.inf
    high: Any = -np.inf
    dtype: str = ""
    not_finite: int = 0

    def add(self, values: NDArray[Any], real: NDArray[Any] | None, dtype: str) -> None:
        """Add a call with values ``(N, C, L)``."""
        self.dtype = self.dtype or dtype
        if not np.isfinite(values).all():
            self.not_finite += 1
            return
        found = Moments.of(values, real)
        if found.count == 0:
            return
        self.calls.append(found)
        self.samples.append(len(values))
        self.sample_scatter.append(sample_scatter(values))
        self.low = np.minimum(self.low, values.min((0, 2)))
        self.high = np.maximum(self.high, values.max((0, 2)))

    @property
    def counts(self) -> list[int]:
        """Return the number of values per channel of each call."""
        return [call.count for call in self.calls]

    @property
    def together(self) -> Moments:
        """Return the moments of all calls together."""
        return Moments.merge(self.calls)

    @property
    def mean_noise(self) -> Channels:
        """Return the standard deviation of the calls' means over that of all values, ``(C,)``; NaN for one call."""
        means = np.stack([call.mean for call in self.calls])
        if len(means) < 2:
            return np.full(means.shape[1], np.nan)
        return means.std(0, ddof=1) / np.sqrt(self._whole).clip(1e-30)

    @property
    def variance_noise(self) -> Channels:
        """Return the standard deviation of the calls' variances over their mean, ``(C,)``; NaN for one call."""
        variances = np.stack([call.variance for call in self.calls])
        if len(variances) < 2:
            return np.full(variances.shape[1], np.nan)
        return variances.std(0, ddof=1) / variances.mean(0).clip(1e-30)

    @property
    def sample_noise(self) -> Channels:
        """Return the standard error of a call's mean for samples in random order, over the deviation, ``(C,)``.

        Its inverse square is the number of independent values that a call's mean rests on; NaN where no call has two
        samples.
        """
        errors = [
            scatter / samples
            for scatter, samples in zip(self.sample_scatter, self.samples, strict=True)
            if samples > 1
        ]
        if not errors:
            return np.full(self.calls[0].mean.shape, np.nan)
        # Of batches of one size and a smaller last one, the median is that of the usual ones.
        return np.sqrt(np.median(np.stack(errors), 0) / self._whole.clip(1e-30))

    @property
    def _whole(self) -> Channels:
        means = np.stack([call.mean for call in self.calls])
        return np.stack([call.variance for call in self.calls]).mean(0) + means.var(0)


def sample_scatter(values: NDArray[Any]) -> Channels:
    """Return the unbiased variance of the samples' own means, ``(C,)``; NaN for less than two."""
    with np.errstate(invalid="ignore", over="ignore"):
        own = values.astype(np.float64).mean(2)
        return own.var(0, ddof=1) if len(own) > 1 else np.full(own.shape[1], np.nan)
