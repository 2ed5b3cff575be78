"""Backend of the compiled kernels for CPUs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call
from normwise.kernels.coverage import Coverage
from normwise.kernels.cpu import library, stages
from normwise.kernels.torch_backend.primitives import ChannelMoments, move, update_running

_coverage = Coverage("cpu", {torch.float32: 4, torch.bfloat16: 2}, library.COVERED_ACTIVATIONS)


class CpuBackend:
    """Backend for float32 and bfloat16 on a CPU, contiguous or channels-last; see :mod:`normwise.kernels.backend`."""

    dispatch_key = "CPU"
    input_types = (torch.float32, torch.bfloat16)

    @property
    def name(self) -> str:
        """Return the instruction set."""
        return library.loaded().instruction_set()

    @property
    def description(self) -> str:
        """Return a description of the instruction set."""
        return f"compiled for {library.loaded().instruction_set()}"

    @property
    def available(self) -> bool:
        """Return whether there are kernels, and they were not turned off."""
        return library.library is not None

    @property
    def reason(self) -> str:
        """Return why there are no kernels, or none are used."""
        return f"the compiled kernels are {library.reason}"

    @property
    def files(self) -> Sequence[Path]:
        """Return the compiled module."""
        path = None if library.library is None else library.library.__file__
        return () if path is None else (Path(path),)

    # Plain functions, since Python dominates the cost of small calls.
    backward = staticmethod(library.backward)
    moments_gradient = staticmethod(stages.moments_gradient)
    input_gradient = staticmethod(stages.input_gradient)

    def covers(self, call: Call) -> bool:
        """Return whether the kernels can compute the call; if so, set its layout."""
        return library.library is not None and _coverage.covers(call)

    def covers_backward(self, call: BackwardCall) -> bool:
        """Return whether the kernels can compute the backward pass; if so, set its layout."""
        return library.library is not None and _coverage.covers_backward(call)

    def covers_types(self, call: Call) -> bool:
        """Return whether dtypes and devices of a call are covered, and parameters and statistics are contiguous."""
        return library.library is not None and _coverage.covers_types(call)

    def moments(self, call: Call) -> tuple[int, Tensor, Tensor]:
        """Return the real positions, and per channel, in float64, the mean and the sum of squared deviations."""
        count, found = library.moments(call)
        return count, found[0], found[1].mul_(count)

    def batch_moments(self, call: Call) -> ChannelMoments:
        """Return the moments of a call's batch."""
        count, found = library.moments(call)
        return ChannelMoments(found.new_full((), count), *found.unbind())

    def normalise(self, call: Call, moments: ChannelMoments) -> tuple[Tensor, bytearray]:
        """Compute the same as :meth:`forward` in training, with given moments."""
        count, given = int(moments.count), torch.stack((moments.mean, moments.variance))
        mean, var = call.running_mean, call.running_var
        if mean is None or var is None or mean.dtype is torch.float32:
            return stages.normalise(call, count, given)
        # Statistics in another dtype than the kernels' are updated here.
        apart = replace(call, running_mean=None, running_var=None, counter=None)
        update_running(mean, var, moments.mean, moments.variance, moments.count, call.momentum, call.counter)
        return stages.normalise(apart, count, given)

    def forward(self, call: Call, batch: Tensor | None = None) -> tuple[Tensor, bytearray]:
        """Compute the output and the saved statistics, and update the running ones."""
        mean, var = call.running_mean, call.running_var
        # A covered call has them in the input's dtype or float32.
        if mean is None or var is None or mean.dtype is torch.float32:
            return library.forward(call, batch)
        if not call.training:
            return library.forward(replace(call, running_mean=mean.float(), running_var=var.float()), batch)
        # Statistics in another dtype than the kernels' are updated here.
        found = torch.zeros(2, mean.shape[0], dtype=torch.float64) if batch is None else batch
        y, saved = library.forward(replace(call, running_mean=None, running_var=None, momentum=0.0), found)
        n, _, size, _ = call.layout
        moved = torch.tensor(n * size > 1) if call.mask is None else call.mask.sum() > 1
        momentum = call.momentum
        if momentum is None:
            momentum = 0.0 if call.counter is None else 1.0 / max(int(call.counter), 1)
        move(mean, found[0], momentum, moved)
        move(var, found[1], momentum, moved)
        return y, saved

    def statistics(self, saved: bytearray) -> Tensor:
        """Return the saved statistics as a tensor that shares their memory."""
        return torch.frombuffer(saved, dtype=torch.float64).view(2, -1)

    def saved(self, statistics: Tensor) -> bytearray:
        """Return a copy of the statistics, which may be on any device."""
        return bytearray(statistics.contiguous().numpy().tobytes())
