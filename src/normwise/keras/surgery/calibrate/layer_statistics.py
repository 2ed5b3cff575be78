"""Moving statistics of a BN layer: reading, writing, and comparison with those of data."""

from dataclasses import replace
from typing import Any

import numpy as np

from normwise.errors import ModelError
from normwise.keras.surgery.arrays import double
from normwise.keras.surgery.calibrate.moments import Array
from normwise.records import LayerCalibration

#: A moving mean and a moving variance, in float64.
Statistics = tuple[Array, Array]


def statistics_of(layer: Any) -> Statistics:
    """Return the moving mean and variance of a layer."""
    return double(layer.moving_mean), double(layer.moving_variance)


def is_unbiased(layer: Any) -> bool:
    """Return whether the moving variance of a layer has Bessel's correction."""
    return bool(getattr(layer, "unbiased_moving_variance", False))


def put(layer: Any, mean: Array, variance: Array) -> None:
    """Write the moving mean and variance of a layer, which normalise in inference."""
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)


def put_all(layer: Any, mean: Array, variance: Array) -> None:
    """Write the moving statistics of a layer, including those of renormalization.

    Otherwise training would overwrite the moving variance from an old deviation, and compare batches with old
    statistics.
    """
    put(layer, mean, variance)
    if layer.renorm:
        deviation = np.sqrt(variance + layer.epsilon)
        layer.moving_stddev.assign(deviation)
        layer.renorm_mean.assign(mean)
        layer.renorm_stddev.assign(deviation)


def check_fits(path: str, layer: Any, mean: Array, variance: Array) -> None:
    """Check that the dtype of a layer's statistics can hold new ones.

    Raises:
        ModelError: the dtype can't hold them.
    """
    for name, value in (("moving_mean", mean), ("moving_variance", variance)):
        kind = str(getattr(layer, name).dtype)
        most = {"float16": 65504.0}.get(kind, 3.4e38)
        if not np.abs(value).max(initial=0) <= most:
            raise ModelError(
                f"{path!r} keeps its {name} in {kind}, which can't hold {np.abs(value).max():g}; use the dtype policy "
                "mixed_float16, which keeps weights in float32"
            )


def with_comparison(
    record: LayerCalibration, before: Statistics, mean: Array, variance: Array, epsilon: float
) -> LayerCalibration:
    r"""Return the record with the distance of the old mean and variance from those of the data.

    A value x was normalised to :math:`(x - \mu_0) / s_0`, and is now normalised to :math:`(x - \mu) / s`, with
    :math:`s^2 = \sigma^2 + \epsilon`. The mean square of the difference over the data is, with :math:`r = s_0^2 / s^2`,
    :math:`(\mu - \mu_0)^2 / s_0^2 + (1 / \sqrt r - 1)^2 \sigma^2 / s^2`; the error is the root of its mean over the
    channels. A constant channel has no error of the variance.
    """
    old_mean, old_variance = before
    with np.errstate(all="ignore"):
        shift = (old_mean - mean) / np.sqrt(variance + epsilon)
        ratio = (old_variance + epsilon) / (variance + epsilon)
    sound = np.isfinite(shift) & np.isfinite(ratio) & (ratio > 0)
    record = replace(record, broken=_broken(old_mean, old_variance, sound))
    shift, ratio, varies = shift[sound], ratio[sound], (variance / (variance + epsilon))[sound]
    if not len(shift):
        return record
    errors = np.square(shift) / ratio + np.square(1 / np.sqrt(ratio) - 1) * varies
    return replace(
        record,
        mean_shift=float(np.abs(shift).max()),
        typical_mean_shift=float(np.median(np.abs(shift))),
        variance_ratio_low=float(ratio.min()),
        variance_ratio_high=float(ratio.max()),
        error=float(np.sqrt(errors.mean())),
    )


def _broken(mean: Array, variance: Array, sound: np.ndarray[Any, Any]) -> str:
    """Return what made old statistics unusable; empty if nothing did."""
    if sound.all():
        return ""
    kinds = {
        "NaN": np.isnan(mean) | np.isnan(variance),
        "infinite": np.isinf(mean) | np.isinf(variance),
        "of negative variance": ~sound & np.isfinite(variance) & np.isfinite(mean),
    }
    what = " or ".join(text for text, found in kinds.items() if found.any())
    return f"{what} in {int((~sound).sum())} of {len(sound)} channels"
