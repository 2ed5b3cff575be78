"""Summary of one BN layer and of its input for one batch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from normwise.keras.surgery.arrays import double
from normwise.keras.surgery.calibrate.layer_statistics import is_unbiased, statistics_of
from normwise.keras.watch.standard_errors import Array, moments_with_errors
from normwise.recordings.six_digits import six_digits
from normwise.recordings.unit_points import unit_points
from normwise.records import LayerPoint, OverChannels


def layer_summary(
    layer: Any, x: NDArray[Any], real: NDArray[Any] | None, channels: tuple[int, ...], *, by_batch: bool
) -> LayerPoint | None:
    """Return the summary of a layer before a call with ``x``, and of ``x``.

    Args:
        layer: Built BN layer of Keras or ours.
        x: Input of the layer, ``(N, C, L)``.
        real: Mask ``(N, L)``, True where a position is real.
        channels: Channels whose percentiles are computed.
        by_batch: Whether the layer normalises by the batch.

    Returns:
        The summary; None for a batch without a real position.
    """
    # The values may be infinite or NaN.
    with np.errstate(all="ignore"):
        seen = moments_with_errors(x, real)
        if seen is None:
            return None
        eps = float(layer.epsilon)
        mean, var = statistics_of(layer)
        weight, bias = (
            None if (held := getattr(layer, name, None)) is None else double(held)
            for name in ("gamma", "beta")
        )
        batch_var = seen.var
        if is_unbiased(layer):
            batch_var = seen.var * (seen.values / (seen.values - 1) if seen.values > 1 else np.nan)
        quantities: dict[str, Array | None] = {
            "batch_mean": seen.mean,
            "batch_var": batch_var,
            "noise_mean": seen.mean_error / np.sqrt(seen.var + eps),
            "noise_var": seen.var_error / (seen.var + eps),
            "weight": weight,
            "bias": bias,
            "running_mean": mean,
            "running_var": var,
            "shift": (seen.mean - mean) / np.sqrt(var + eps),
            "log_ratio": np.log((batch_var + eps) / (var + eps)),
        }
        centre, square = (seen.mean, seen.var) if by_batch else (mean, var)
        scale = (1.0 if weight is None else weight) / np.sqrt(square + eps)
        offset = (0.0 if bias is None else bias) - centre * scale
        chosen = list(channels)
        values = np.moveaxis(x[:, chosen].astype(np.float64), 1, -1)
        values = values.reshape(-1, len(chosen)) if real is None else values[real]
        summaries: dict[str, Any] = {
            name: _over_channels(found) for name, found in quantities.items() if found is not None
        }
        return LayerPoint(
            calls=1,
            by_batch=by_batch,
            samples=seen.samples,
            values=seen.values,
            units=unit_points(channels, values, scale[chosen], offset[chosen]) if channels else (),
            **summaries,
        )


def _over_channels(values: Array) -> OverChannels:
    # For an even number of channels the median is the lower of the two in the middle; NaN would be sorted last.
    middle = np.nan if np.isnan(values).any() else np.sort(values)[(len(values) - 1) // 2]
    found = (values.min(), middle, values.max(), np.sqrt(np.square(values).mean()))
    return OverChannels(*(six_digits(float(value)) for value in found))
