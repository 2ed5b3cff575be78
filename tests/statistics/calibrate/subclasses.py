"""Subclasses of BN with a forward of their own, in a model that calls them as it is told to, and data for them."""

# Subclasses name their arguments as they like, and torch's stubs don't know the buffers' types.
# pyright: reportIncompatibleMethodOverride=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false

from collections.abc import Callable

import torch
from torch import Tensor, nn

SCALE, CENTRE = torch.tensor([1.0, 2, 3, 4]), torch.tensor([0.0, 10, 20, 30])


def channels_at_the_end(length: int = 4) -> Tensor:
    """(N, L, C), as many positions as channels unless said otherwise: a wrong axis would go unnoticed."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, length, 4, generator=generator) * SCALE + CENTRE


class Transposed(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Around(nn.Module):
    """Calls its BN as it is told to."""

    def __init__(self, bn: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.bn, self.call = bn, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.bn, x)
