"""Frozen BN layers of other libraries, known by class name and buffers, and tried before that is believed."""

from collections.abc import Sequence

import torch
from torch import nn

from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.fold.algebra import scale_and_shift

#: Sizes behind the channels that are tried where nothing tells them.
_SIZES = ((3, 3), (3,), (), (3, 3, 3))


def reason_against(layer: nn.Module, shape: Sequence[int] | None) -> str:
    """Return why the layer is no scaling and shifting by its buffers; empty if it is on random numbers.

    Args:
        layer: One of the family "frozen" of :func:`normwise.layers.kind_of`.
        shape: Shape of its input on an example; None without one.
    """
    channels = layer.get_buffer("running_mean").numel()
    if shape is not None:
        return _tried(layer, shape)
    reasons = [_tried(layer, (4, channels, *sizes)) for sizes in _SIZES]
    return reasons[0] if all(reasons) else ""


def _tried(layer: nn.Module, shape: Sequence[int]) -> str:
    mean = layer.get_buffer("running_mean")
    dtype = mean.dtype if mean.is_floating_point() else torch.get_default_dtype()
    generator = torch.Generator().manual_seed(0)
    # Around the mean, and about as wide as the layer expects; float64 on the CPU, since not every device has it.
    by_channel = (1, -1, *[1] * (len(shape) - 2))
    scale, shift = (value.reshape(by_channel) for value in scale_and_shift(layer))
    width = (
        layer.get_buffer("running_var").detach().cpu().double().clamp_min(1e-12).sqrt().reshape(by_channel)
    )
    noise = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    x = (mean.detach().cpu().double().reshape(by_channel) + width * noise).to(dtype)
    with unchanged(layer), torch.no_grad():
        layer.eval()
        try:
            got = layer(x.to(mean.device))
        except Exception as error:
            return f"it can't be tried on random numbers ({error}); pass an example"
    x = x.double()
    size = (scale * x).abs() + shift.abs()
    if (
        not isinstance(got, torch.Tensor)
        or got.shape != x.shape
        or not (
            (got.cpu().double() - (scale * x + shift)).abs() <= torch.finfo(dtype).eps ** 0.5 * size
        ).all()
    ):
        eps = getattr(layer, "eps", None)
        epsilon = "an ε of 1e-05, since it has none of its own" if eps is None else f"its ε of {eps}"
        return f"{type(layer).__name__} computes something else than batch normalization by its buffers, with {epsilon}"
    return ""
