"""Counts, means and sums of squared deviations of channels, in float64 and without a gradient."""

from torch import Tensor


def channel_sums(x: Tensor, mask: Tensor | None) -> tuple[int, Tensor, Tensor]:
    """Return elements per channel, and in float64 the mean and the sum of squared deviations, of ``(N, C, *)``."""
    # Metal has no float64.
    values = (x.cpu() if x.device.type == "mps" else x).double()
    by_channel = (
        values.transpose(0, 1).flatten(1) if mask is None else values.movedim(1, 0)[:, mask.to(values.device)]
    )
    count = by_channel.shape[1]
    if count == 0:
        zero = by_channel.new_zeros(by_channel.shape[0])
        return 0, zero, zero
    mean = by_channel.mean(1)
    return count, mean, (by_channel - mean[:, None]).square().sum(1)
