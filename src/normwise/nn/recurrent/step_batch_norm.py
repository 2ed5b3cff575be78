"""Batch normalization with running statistics for each time step."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from normwise import kernels
from normwise.errors import ArgumentError, ShapeError
from normwise.kernels import Call
from normwise.nn.norm_traits import NormTraits
from normwise.nn.tools.recomputation import is_recomputed


class StepBatchNorm(nn.Module):
    r"""Batch normalization of ``(N, C)`` at a time step, with separate statistics for each step.

    .. math::

        y = \gamma \, \frac{x - \mu_t}{\sqrt{\sigma_t^2 + \epsilon}} + \beta

    In training the mean and the biased variance are the batch's; they update the running statistics of step t, with
    Bessel's correction. In evaluation they are the running statistics of step t. Steps from ``max_length`` on share
    those of step ``max_length - 1``. A batch of one sequence has no statistics: also in training it is normalised
    by the running statistics, and does not update them. (A batch of one normalised by its own mean is 0, which
    would erase the state of the longest sequence.)

    Buffers ``running_mean``, ``running_var`` (max_length, C) and ``num_batches_tracked`` (max_length,).

    Args:
        num_features: Number of channels, C.
        max_length: Number of steps with their own statistics.
        eps: Number that is added to the variance, ε.
        momentum: Weight of the new batch in the running statistics; None for their plain average over all batches.
        bias: Whether the layer has a β.
        gamma: Initial value of all γ.

    References:
        Cooijmans et al. 2016, https://arxiv.org/abs/1603.09025, section 3.
    """

    traits: ClassVar[NormTraits] = NormTraits(
        "step",
        conversion="batch",
        foldable=False,
        convertible=False,
        reason="it stands within a recurrent layer, which gives it a time step",
        several_slots=True,
    )
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        max_length: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
        gamma: float = 1.0,
    ) -> None:
        super().__init__()
        if max_length < 1:
            raise ArgumentError(f"max_length must be 1 or more, got {max_length}")
        self.num_features, self.max_length = num_features, max_length
        self.eps, self.momentum, self.gamma = eps, momentum, gamma
        self.track_running_stats = True
        self.weight = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype)) if bias else None
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, torch.empty(max_length, num_features, device=device, dtype=dtype))
        self.register_buffer("num_batches_tracked", torch.empty(max_length, device=device, dtype=torch.int64))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset γ to ``gamma``, β to 0, and the statistics."""
        self.reset_running_stats()
        nn.init.constant_(self.weight, self.gamma)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def reset_running_stats(self) -> None:
        """Reset all statistics: means to 0, variances to 1."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def slot(self, step: int) -> int:
        """Return the row of the statistics for a step."""
        return min(step, self.max_length - 1)

    def slot_of_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        """Return the row of the statistics that a call with these arguments uses."""
        return self.slot(args[1] if len(args) > 1 else kwargs["step"])

    def forward(self, input: Tensor, step: int) -> Tensor:
        """Normalise ``(N, C)`` with the statistics of time step ``step``, counted from 0."""
        self._check(input)
        slot = self.slot(step)
        by_batch = self.training and len(input) > 1
        tracks = self.track_running_stats or not by_batch
        # A repetition by activation checkpointing updates nothing.
        moves = by_batch and tracks and not is_recomputed()
        mean, var = (self.running_mean[slot], self.running_var[slot]) if tracks else (None, None)
        if self.training and tracks and not moves:
            # Copies, since autograd saves them while other steps of this batch update the buffers.
            mean, var = self.running_mean[slot].clone(), self.running_var[slot].clone()
        return kernels.batch_norm(
            Call(
                input,
                mean,
                var,
                self.weight,
                self.bias,
                training=by_batch,
                momentum=self.momentum,
                eps=self.eps,
                counter=self.num_batches_tracked[slot] if moves else None,
            )
        )

    def _check(self, input: Tensor) -> None:
        if input.dim() != 2 or input.shape[1] != self.num_features:
            raise ShapeError(f"expected an input of shape (N, {self.num_features}), got {tuple(input.shape)}")

    def extend(self, steps: int) -> Tensor | bool:
        """Give the steps from ``steps`` on that no batch has reached the statistics of the step before them.

        Otherwise a sequence longer than all before would be normalised by a mean of 0 and a variance of 1.

        Returns:
            True if there are such steps. On a GPU this is a tensor, and the host has not waited for it.
        """
        if not 0 < steps < self.max_length:
            return False
        unseen = ~self.num_batches_tracked[steps:].any()
        for buffer in (self.running_mean, self.running_var):
            # Through .data: autograd has saved other rows of the buffer, and would mistake this for a change
            # of them.
            rows = buffer.data
            rows[steps:] = torch.where(unseen, rows[steps - 1], rows[steps:])
        return unseen

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        return (
            f"{self.num_features}, max_length={self.max_length}, eps={self.eps}, momentum={self.momentum}, "
            f"bias={self.bias is not None}, gamma={self.gamma}"
        )
