"""Batch normalization that averages the means and the means of squares of ranks, as some libraries do."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Sum(torch.autograd.Function):
    """The sum over the ranks, and backward the sum of its gradients."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        del ctx
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        del ctx
        total = grad.clone()
        dist.all_reduce(total)
        return total


class AveragedBatchNorm2d(nn.BatchNorm2d):
    """The average of the ranks' means and means of squares, each rank with the same weight.

    It is what is right for equal numbers of samples, and in exact arithmetic: the variance is a difference of two
    numbers that may be close.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise; in training by all ranks' statistics."""
        if not self.training:
            return super().forward(input)
        own = torch.cat([input.mean((0, 2, 3)), input.square().mean((0, 2, 3))])
        mean, square = (_Sum.apply(own) / dist.get_world_size()).chunk(2)
        variance = square - mean.square()
        with torch.no_grad():
            for buffer, value in ((self.running_mean, mean), (self.running_var, variance)):
                if buffer is not None:
                    buffer.lerp_(value, self.momentum or 0.1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return input * scale[:, None, None] + shift[:, None, None]
