"""Batch normalization with running statistics for each time step, over the sequences of all processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
import torch.distributed as dist
from torch import Tensor

from normwise.kernels.merged import merged_moments
from normwise.kernels.torch_backend import primitives
from normwise.kernels.torch_backend.primitives import ChannelMoments
from normwise.nn.mixins.synchronised import Synchronised
from normwise.nn.norm_traits import NormTraits
from normwise.nn.recurrent.step_batch_norm import StepBatchNorm
from normwise.nn.tools.recomputation import is_recomputed

#: Moments that ``merged_ahead`` has merged, by layer and input; a tensor that a hook has made is not among
#: them.
_ahead: dict[tuple[int, int], ChannelMoments] = {}


class SyncStepBatchNorm(Synchronised, StepBatchNorm):
    r"""Batch normalization of ``(N, C)`` at a time step, with the statistics of the sequences of all ranks.

    This is the synchronised form of :class:`StepBatchNorm`, as :class:`normwise.nn.SyncBatchNorm` is of
    :class:`normwise.nn.BatchNorm1d`; ``normwise.convert(model, "sync")`` puts it into the recurrent layers. Output,
    gradient and the running statistics of each step are those of one process with all sequences. A batch of one,
    which has no statistics, means one sequence on all ranks together.

    A call has one collective forward, :math:`2C + 1` float64 values from each rank, and one backward, :math:`2C`; calls
    in the context of ``merged_ahead`` share them. A rank without sequences at a step calls with ``(0, C)``. The
    recurrent layers do so: in each forward pass the ranks agree on the number of steps by one collective, for which
    the host waits. In evaluation, without an initialised process group and in a group of one it is
    :class:`StepBatchNorm`.

    Args:
        process_group: Ranks whose sequences count as one batch; None for all ranks.
        timeout: Most seconds that a rank waits for the others in a collective, with gloo.

    The other arguments, and the ``state_dict``, are those of :class:`StepBatchNorm`.

    Raises:
        DistributedError: the ranks are not at the same layer, or a rank has not arrived within ``timeout``; the
            error says which.
        ShapeError: the input has a wrong number of channels.
    """

    traits: ClassVar[NormTraits] = NormTraits(
        "step",
        conversion="sync",
        foldable=False,
        convertible=False,
        reason=StepBatchNorm.traits.reason,
        several_slots=True,
        synchronised=True,
    )

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
        process_group: dist.ProcessGroup | None = None,
        timeout: float = 60.0,
    ) -> None:
        super().__init__(num_features, max_length, eps, momentum, device, dtype, bias=bias, gamma=gamma)
        self.synchronise(process_group, timeout)

    @contextmanager
    def merged_ahead(self, inputs: Sequence[Tensor]) -> Iterator[None]:
        """Merge the moments of the inputs of all steps in one collective, for the calls within the context."""
        if not self.training or (union := self.rank_union(inputs[0].device)) is None:
            yield
            return
        own = (torch.stack(parts) for parts in zip(*map(primitives.moments, inputs), strict=True))
        merged = map(Tensor.unbind, merged_moments(ChannelMoments(*own), union))
        keys = [(id(self), id(input)) for input in inputs]
        _ahead.update(zip(keys, map(ChannelMoments, *merged), strict=True))
        try:
            yield
        finally:
            for key in keys:
                _ahead.pop(key, None)

    def forward(self, input: Tensor, step: int) -> Tensor:
        """Normalise ``(N, C)`` with the statistics of time step ``step``, counted from 0; N may be 0."""
        if not self.training or (union := self.rank_union(input.device)) is None:
            return super().forward(input, step)
        self._check(input)
        slot = self.slot(step)
        running_mean, running_var = self.running_mean[slot], self.running_var[slot]
        if (merged := _ahead.get((id(self), id(input)))) is None:
            merged = merged_moments(primitives.moments(input), union)
        count, mean, variance = merged
        # By torch.where, since reading the count would wait for a GPU. Both are copies: other steps of this
        # batch update the buffers before autograd reads them.
        alone = count <= 1
        y = primitives.normalise(
            input,
            torch.where(alone, running_mean, mean),
            torch.rsqrt(torch.where(alone, running_var, variance) + self.eps),
            self.weight,
            self.bias,
        )
        if self.track_running_stats and not is_recomputed():
            primitives.update_running(
                running_mean,
                running_var,
                mean,
                variance,
                count,
                self.momentum,
                self.num_batches_tracked[slot],
            )
        return y
