"""Recurrent layers with BN that has statistics for each step."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from normwise.nn.recurrent.recurrent_layer import Recurrent, StepNorm
from normwise.nn.recurrent.step_batch_norm import StepBatchNorm


class WithStepNorms(Recurrent):
    """Normalises by :class:`StepBatchNorm`."""

    max_length: int
    eps: float
    momentum: float | None
    gamma: float

    def _make_norm(self, parts: tuple[int, ...], *, bias: bool, **made: Any) -> nn.Module:
        # Of each channel by itself, so that parts make no difference.
        return StepBatchNorm(
            sum(parts), self.max_length, self.eps, self.momentum, bias=bias, gamma=self.gamma, **made
        )

    def _norm(self, kind: str, name: str) -> StepNorm:
        return self.get_submodule(f"norm_{kind}_{name}")

    def _inputs(
        self, name: str, gates: Tensor, batch_sizes: Sequence[int], bias: Tensor | None
    ) -> Sequence[Tensor]:
        norm = self._norm("ih", name)
        steps = [norm(step, number) for number, step in enumerate(gates.split(tuple(batch_sizes)))]
        return steps if bias is None else [step + bias for step in steps]

    def _after(self, steps: int) -> None:
        for module in self.modules():
            if isinstance(module, StepBatchNorm) and module.training and module.track_running_stats:
                module.extend(steps)

    def extra_repr(self) -> str:
        """The arguments, for ``repr``."""
        return f"{super().extra_repr()}, max_length={self.max_length}"
