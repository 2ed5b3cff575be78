"""Summary of one BN layer and of its input for one batch."""

from typing import Any

import torch
from torch import Tensor, nn

from normwise.layers import kind_of_norm
from normwise.recordings.six_digits import six_digits
from normwise.recordings.unit_points import unit_points
from normwise.records import LayerPoint, OverChannels, UnitPoint
from normwise.statistics.watch.standard_errors import moments_with_errors


@torch.no_grad()
def layer_summary(
    layer: nn.Module, x: Tensor, mask: Tensor | None, channels: tuple[int, ...]
) -> LayerPoint | None:
    """Return the summary of a layer before a call with ``x``, and of ``x``; gradients are not known yet.

    Args:
        layer: BN layer of torch, ours, or a frozen one of another library.
        x: Input of the layer, ``(N, C, *)``; not changed.
        mask: Mask ``(N, *)``, True where a position is real.
        channels: Channels whose percentiles are computed.

    Returns:
        The summary; None for an empty batch.
    """
    x = x.detach()
    seen = moments_with_errors(x, mask)
    if seen is None:
        return None
    kind = kind_of_norm(layer)
    eps = kind.eps
    mean, var, weight, bias = (
        None if (tensor := getattr(layer, name)) is None else tensor.detach().double()
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    by_batch = kind.learns_statistics and (layer.training or mean is None)
    variance = seen.var + eps
    unbiased = (
        seen.var * (seen.values / (seen.values - 1))
        if seen.values > 1
        else torch.full_like(seen.var, torch.nan)
    )
    quantities = {
        "batch_mean": seen.mean,
        "batch_var": unbiased,
        "noise_mean": seen.mean_error / variance.sqrt(),
        "noise_var": seen.var_error / variance,
        "weight": weight,
        "bias": bias,
    }
    if mean is not None and var is not None:
        quantities |= {
            "running_mean": mean,
            "running_var": var,
            "shift": (seen.mean - mean) / (var + eps).sqrt(),
            "log_ratio": ((unbiased + eps) / (var + eps)).log(),
        }
    centre, square = (seen.mean, seen.var) if by_batch or mean is None or var is None else (mean, var)
    scale = (square + eps).rsqrt() if weight is None else (square + eps).rsqrt() * weight
    offset = -centre * scale if bias is None else bias - centre * scale
    return LayerPoint(
        calls=1,
        by_batch=by_batch,
        samples=seen.samples,
        values=seen.values,
        units=_units(x, mask, channels, scale, offset),
        **_over_channels(quantities),
    )


def _over_channels(quantities: dict[str, Tensor | None]) -> dict[str, Any]:
    there = {name: values for name, values in quantities.items() if values is not None}
    stacked = torch.stack(list(there.values()))
    summaries = torch.stack(
        [
            stacked.amin(1),
            stacked.median(1).values,
            stacked.amax(1),
            stacked.square().mean(1).sqrt(),
        ],
        1,
    )
    rows = summaries.tolist()  # all at once: on a GPU each copy would wait
    return {name: OverChannels(*map(six_digits, row)) for name, row in zip(there, rows, strict=True)}


def _units(
    x: Tensor, mask: Tensor | None, channels: tuple[int, ...], scale: Tensor, offset: Tensor
) -> tuple[UnitPoint, ...]:
    if not channels:
        return ()
    chosen = x[:, list(channels)].movedim(1, -1)
    values = (chosen.flatten(0, -2) if mask is None else chosen[mask]).double()
    scales, offsets = (tensor[list(channels)].cpu().numpy() for tensor in (scale, offset))
    return unit_points(channels, values.cpu().numpy(), scales, offsets)
