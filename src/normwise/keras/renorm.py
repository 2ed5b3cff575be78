"""Batch renormalization (Ioffe 2017): r and d, and their limits."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from normwise.keras.moments import Tensor
from normwise.keras.untyped import ops

#: Keys of ``renorm_clipping`` in Keras, and our further keys.
_LIMITS = ("rmax", "rmin", "dmax")
_STEPS = ("warmup_steps", "rmax_steps", "dmax_steps")


@dataclass(frozen=True)
class Schedule:
    """Limits that grow with the number of batches, as in the paper's section 4.2.

    Attributes:
        rmax: Final largest r; the smallest is its inverse.
        dmax: Final largest d.
        warmup_steps: Number of batches in which r is 1 and d is 0, which is batch normalization.
        rmax_steps, dmax_steps: Number of batches after which the limits have grown linearly to ``rmax`` and
            ``dmax``.
    """

    rmax: float = 3.0
    dmax: float = 5.0
    warmup_steps: int = 5_000
    rmax_steps: int = 40_000
    dmax_steps: int = 25_000

    def limits(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the limits of r and d for the number of batches so far, a 0-dimensional floating tensor."""

        def share(end: int) -> Tensor:
            begin = min(self.warmup_steps, end - 1)
            return ops.clip((step - begin) / (end - begin), 0.0, 1.0)

        return 1 + (self.rmax - 1) * share(self.rmax_steps), self.dmax * share(self.dmax_steps)


@dataclass(frozen=True)
class Clipping:
    """Fixed limits, as in Keras; None for no limit.

    Attributes:
        rmax: Largest r.
        rmin: Smallest r.
        dmax: Largest absolute value of d.
    """

    rmax: float | None = None
    rmin: float | None = None
    dmax: float | None = None


def limits_of(given: Mapping[str, Any] | None) -> Schedule | Clipping:
    """Return the limits for the argument ``renorm_clipping``.

    Args:
        given: None for the paper's schedule; only Keras's keys for fixed limits; keys of steps for a schedule.

    Raises:
        ValueError: a key is unknown, or limits contradict one another.
    """
    if given is None:
        return Schedule()
    if unknown := sorted(set(given) - {*_LIMITS, *_STEPS}):
        raise ValueError(
            f"Received invalid keys of renorm_clipping: {', '.join(map(repr, unknown))}; expected some of "
            f"{', '.join(_LIMITS)}, and for limits that grow {', '.join(_STEPS)}"
        )
    rmax, rmin, dmax = (given.get(key) for key in _LIMITS)
    if rmax is not None and rmin is not None and rmax < rmin:
        raise ValueError(f"renorm_clipping: rmax should be rmin or more, got rmax={rmax} and rmin={rmin}")
    if dmax is not None and dmax < 0:
        raise ValueError(f"renorm_clipping: dmax should be non-negative, got dmax={dmax}")
    if not set(given) & set(_STEPS):
        return Clipping(rmax, rmin, dmax)
    if rmin is not None:
        raise ValueError(
            f"renorm_clipping: with limits that grow rmin is the inverse of rmax; leave out rmin={rmin}"
        )
    schedule = Schedule(**{key: value for key, value in given.items() if value is not None})
    if schedule.rmax < 1 or not 0 <= schedule.warmup_steps <= min(schedule.rmax_steps, schedule.dmax_steps):
        raise ValueError(
            "renorm_clipping: expected rmax of 1 or more and 0 <= warmup_steps <= rmax_steps and dmax_steps, got "
            f"{asdict(schedule)}"
        )
    return schedule


def correction(
    mean: Tensor,
    deviation: Tensor,
    running_mean: Tensor,
    running_deviation: Tensor,
    limits: Schedule | Clipping,
    step: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return r and d, ``(C,)``, as constants without gradient.

    Args:
        mean: Mean of the batch.
        deviation: Deviation of the batch, ``sqrt(variance + epsilon)``.
        running_mean, running_deviation: Running mean and deviation of renormalization.
        limits: Limits of r and d.
        step: Number of batches so far, for a schedule.
    """
    r = deviation / running_deviation
    d = (mean - running_mean) / running_deviation
    if isinstance(limits, Schedule):
        rmax, dmax = limits.limits(step)
        r, d = ops.clip(r, 1 / rmax, rmax), ops.clip(d, -dmax, dmax)
    else:
        # Not Keras's maximum and minimum, which turn float64 into float32 on torch.
        if limits.rmin is not None or limits.rmax is not None:
            r = ops.clip(r, limits.rmin or 0.0, math.inf if limits.rmax is None else limits.rmax)
        if limits.dmax is not None:
            d = ops.clip(d, -limits.dmax, limits.dmax)
    return ops.stop_gradient(r), ops.stop_gradient(d)
