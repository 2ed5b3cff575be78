"""BN with a bias of its own behind it, beside its β."""

import torch
from torch import Tensor, nn


class ChannelBias(nn.Module):
    """A learnt number for each channel, 0 at first, that is added.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, *)`` → ``(N, C, *)``."""
        return x + self.value.view(-1, *[1] * (x.dim() - 2))


class BatchNormAndBias(nn.Sequential):
    """BN, then a bias: what stands between BN and the activation where a tutorial warns of it.

    Args:
        norm: BN layer before the bias.
        channels: Number of channels.
    """

    def __init__(self, norm: nn.Module, channels: int):
        super().__init__()
        self.norm = norm
        self.bias = ChannelBias(channels)
