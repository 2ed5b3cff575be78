"""Recurrent layers with BN that has statistics for each step."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError
from normwise.nn.layer_path import remembered_name
from normwise.nn.recurrent.recurrent_layer import Recurrent, StepNorm
from normwise.nn.recurrent.step_batch_norm import StepBatchNorm
from normwise.nn.recurrent.sync_step_batch_norm import SyncStepBatchNorm


class WithStepNorms(Recurrent):
    """Mixin of recurrent layers that normalise by :class:`StepBatchNorm`."""

    max_length: int
    eps: float
    momentum: float | None
    gamma: float

    def _make_norm(self, parts: tuple[int, ...], *, bias: bool, **made: Any) -> nn.Module:
        # BN normalises each channel by itself, so parts make no difference.
        return StepBatchNorm(
            sum(parts), self.max_length, self.eps, self.momentum, bias=bias, gamma=self.gamma, **made
        )

    def _norm(self, kind: str, name: str) -> StepNorm:
        return self.get_submodule(f"norm_{kind}_{name}")

    def _inputs(
        self, name: str, gates: Tensor, batch_sizes: Sequence[int], bias: Tensor | None
    ) -> Sequence[Tensor]:
        norm = self._norm("ih", name)
        steps = gates.split(tuple(batch_sizes))
        with norm.merged_ahead(steps) if isinstance(norm, SyncStepBatchNorm) else nullcontext():
            normed = [norm(step, number) for number, step in enumerate(steps)]
        return normed if bias is None else [step + bias for step in normed]

    def _takes_none(self) -> bool:
        return any(isinstance(module, SyncStepBatchNorm) for module in self.modules())

    def _all_steps(self, batch_sizes: Sequence[int], device: torch.device) -> Sequence[int]:
        norms = [m for m in self.modules() if isinstance(m, SyncStepBatchNorm) and m.training]
        unions = [union for norm in norms if (union := norm.rank_union(device)) is not None]
        if not unions:
            return batch_sizes
        if len({union.exchange for union in unions}) > 1:
            raise ArgumentError(
                f"{remembered_name(self)}: expected norms of one process group, got several groups; give them one with "
                'normwise.convert(model, "sync", process_group=...)'
            )
        own = [size for size in batch_sizes if size]
        # At least one step, so that there is a tensor to concatenate.
        steps = max(1, replace(unions[0], layer=remembered_name(self)).largest(len(own), device))
        return (*own, *[0] * (steps - len(own)))

    def _after(self, steps: int) -> None:
        for module in self.modules():
            if isinstance(module, StepBatchNorm) and module.training and module.track_running_stats:
                module.extend(steps)

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        return f"{super().extra_repr()}, max_length={self.max_length}"
