"""Recurrent layers with layer normalization."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.nn.recurrent.recurrent_layer import Recurrent, StepNorm


class WithLayerNorms(Recurrent):
    """Mixin of recurrent layers that use layer normalization, the same at all steps."""

    eps: float

    def _make_norm(self, parts: tuple[int, ...], *, bias: bool, **made: Any) -> nn.Module:
        if len(parts) == 1:
            return nn.LayerNorm(parts[0], self.eps, bias=bias, **made)
        return PartwiseLayerNorm(parts, self.eps, **made)

    def _norm(self, kind: str, name: str) -> StepNorm:
        norm = self.get_submodule(f"norm_{kind}_{name}")
        return lambda values, step: norm(values)

    def _inputs(
        self, name: str, gates: Tensor, batch_sizes: Sequence[int], bias: Tensor | None
    ) -> Sequence[Tensor]:
        normed = self.get_submodule(f"norm_ih_{name}")(gates)
        return (normed if bias is None else normed + bias).split(tuple(batch_sizes))


class PartwiseLayerNorm(nn.Module):
    """Layer normalization of the parts of a vector, each by itself, with a γ.

    ``input`` and output are ``(*, sum of the parts)``.
    """

    def __init__(
        self,
        parts: Sequence[int],
        eps: float = 1e-5,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.parts, self.eps = tuple(parts), eps
        self.weight = nn.Parameter(torch.empty(sum(parts), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset all γ to 1."""
        nn.init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each part."""
        pieces = zip(input.split(self.parts, -1), self.weight.split(self.parts), self.parts, strict=True)
        return torch.cat(
            [F.layer_norm(piece, (size,), weight, None, self.eps) for piece, weight, size in pieces], -1
        )

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        return f"{self.parts}, eps={self.eps}"
