"""Record of a slot's calibration: why it was left unchanged, or the error of its old statistics."""

from dataclasses import replace

from torch import Tensor

from normwise.layers import StatisticsSlot, kind_of_norm
from normwise.records import LayerCalibration, VarianceKind
from normwise.statistics.measure.measurement import Measurement


def layer_record(
    slot: StatisticsSlot, measured: Measurement, before: tuple[Tensor, Tensor], kind: VarianceKind
) -> LayerCalibration:
    """Return the record of a slot with its old mean and variance, and the measured ones."""
    seen, reason = measured.seen[slot.path], measured.reason_against(slot, kind)
    record = LayerCalibration(slot.path, type(slot.layer).__name__, not reason, reason, seen.together.count)
    if reason:
        return record
    eps = kind_of_norm(slot.layer).eps
    return with_comparison(record, before, seen.together.mean, seen.variance(kind), eps)


def with_comparison(
    record: LayerCalibration, before: tuple[Tensor, Tensor], mean: Tensor, variance: Tensor, eps: float
) -> LayerCalibration:
    r"""Return the record with the distance of the old mean and variance from the data's.

    A value x was normalised to :math:`(x - \mu_0) / \sigma_0`, and is now normalised to :math:`(x - \mu) / \sigma`.
    The mean square of the difference over the data is, with :math:`r = \sigma_0^2 / \sigma^2`, :math:`(\mu -
    \mu_0)^2 / \sigma_0^2 + (1 / \sqrt r - 1)^2`; the error is the root of its mean over the channels.
    """
    old_mean, old_variance = (old.to(variance) for old in before)
    shift = (old_mean - mean) / (variance + eps).sqrt()
    ratio = (old_variance + eps) / (variance + eps)
    sound = shift.isfinite() & ratio.isfinite() & (ratio > 0)
    record = replace(record, broken=_broken(old_mean, old_variance, sound))
    shift, ratio = shift[sound], ratio[sound]
    if len(shift) == 0:
        return record
    errors = shift.square() / ratio + (ratio.rsqrt() - 1).square()
    return replace(
        record,
        mean_shift=shift.abs().max().item(),
        typical_mean_shift=shift.abs().median().item(),
        variance_ratio_low=ratio.min().item(),
        variance_ratio_high=ratio.max().item(),
        error=errors.mean().sqrt().item(),
    )


def _broken(mean: Tensor, variance: Tensor, sound: Tensor) -> str:
    """Return what made the old statistics unusable; empty if nothing did."""
    if sound.all():
        return ""
    kinds = {
        "NaN": mean.isnan() | variance.isnan(),
        "infinite": mean.isinf() | variance.isinf(),
        "of negative variance": ~sound & variance.isfinite() & mean.isfinite(),
    }
    what = " or ".join(text for text, found in kinds.items() if found.any())
    return f"{what} in {int((~sound).sum())} of {len(sound)} channels"
