"""Plans: the launches of a pass, compiled once for all calls of the same shape, types and settings.

A plan is whole before its first kernel is launched: what can't be compiled is left to torch's operators before anything
has moved.
"""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from normwise.kernels.backward_call import BackwardCall, Gradients
from normwise.kernels.call import Call
from normwise.kernels.triton.keys import NO_SOURCE, BackwardKey, ForwardKey
from normwise.kernels.triton.launcher import INTERPRETED, Launch, runner
from normwise.kernels.triton.launches import backward_launches, forward_launches, whole_tile_of
from normwise.kernels.triton.tiling import Shape, sums_tile

_FLOAT = torch.float32


class _Plan:
    """Sizes as the kernels take them, and the compiled launches."""

    def __init__(self, key: ForwardKey | BackwardKey, launches: tuple[Launch, ...]) -> None:
        self.shape = shape = Shape.of(key.layout, key.dtype.itemsize)
        self.at_once = whole_tile_of(key) is not None
        of_channels, of_length = shape.units_at_once if self.at_once else shape.units
        self.device = key.device
        self.channels = shape.channels
        #: Of channels and length, in the units in which the kernels take them.
        self.units = shape.channels // of_channels, shape.length // of_length
        self.runners = [runner(launch, key.device) for launch in launches]


class ForwardPlan(_Plan):
    """A forward pass that is compiled."""

    def __init__(self, key: ForwardKey) -> None:
        super().__init__(key, forward_launches(key))
        self._key = key
        tile = self._tile = sums_tile(self.shape, key.multiprocessors, backward=False)
        parts = tile.parts if key.training else 0
        self._work = 4 * self.channels + parts + 3 * parts * self.channels
        self._sums_sizes = *self.units, tile.chunks, tile.units, tile.units_a_part
        self._total = self.shape.total

    def run(self, call: Call, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute a call on its device, which is the current one; return the output and the saved statistics."""
        x, mask = call.x, call.mask
        y = x if call.inplace else torch.empty_like(x)
        saved = x.new_empty((2, self.channels), dtype=torch.float64)
        real = None if mask is None else mask.view(torch.uint8)
        stream = _stream(self.device)
        if self.at_once:
            self._all_at_once(call, real, y, saved, batch, stream)
            return y, saved
        work = x.new_empty(self._work, dtype=_FLOAT)
        counter = None
        if self._key.training:
            counter = call.counter
            self._sum_up(call, real, work, saved, batch, stream)
        else:
            mean, var = call.running_mean, call.running_var
            self.runners[0](stream, mean, var, call.weight, call.bias, saved, work, self.channels, call.eps)
        self.runners[-1](stream, x, call.residual, real, work, counter, y, *self.units, self._total)
        return y, saved

    def moments(self, call: Call) -> tuple[int, Tensor, Tensor]:
        """Return the real positions, and per channel the mean and the sum of squared deviations."""
        x, mask = call.x, call.mask
        saved, batch = x.new_zeros((2, 2, self.channels), dtype=torch.float64).unbind()
        real, stream = None if mask is None else mask.view(torch.uint8), _stream(self.device)
        if self.at_once:
            self._all_at_once(call, real, torch.empty_like(x), saved, batch, stream)
        else:
            self._sum_up(call, real, x.new_empty(self._work, dtype=_FLOAT), saved, batch, stream)
        count = self._total // self.channels if mask is None else int(mask.sum())
        return count, saved[0], batch[1] * max(count - 1, 0)

    def _all_at_once(
        self, call: Call, real: Tensor | None, y: Tensor, saved: Tensor, batch: Tensor | None, stream: int
    ) -> None:
        """Compute a call in one launch."""
        run = self.runners[0] if batch is None else self._with_batch
        run(
            stream,
            call.x,
            call.residual,
            real,
            call.weight,
            call.bias,
            *self._moved(call),
            call.counter,
            saved,
            batch,
            y,
            *self.units,
            self.shape.outer,
            0.0 if call.momentum is None else call.momentum,
            call.eps,
        )

    def _sum_up(
        self, call: Call, real: Tensor | None, work: Tensor, saved: Tensor, batch: Tensor | None, stream: int
    ) -> None:
        """Compute the statistics of a batch, and move the running ones."""
        self.runners[0](stream, call.x, real, work, *self._sums_sizes)
        merge = self.runners[1] if batch is None else self._with_batch
        merge(
            stream,
            work,
            call.weight,
            call.bias,
            *self._moved(call),
            call.counter if self._key.average else None,
            saved,
            batch,
            self.channels,
            self._tile.parts,
            0.0 if call.momentum is None else call.momentum,
            call.eps,
        )

    def _moved(self, call: Call) -> tuple[Tensor | None, Tensor | None]:
        """Return the running statistics, where they move."""
        return (None, None) if self._key.running is None else (call.running_mean, call.running_var)

    @cached_property
    def _with_batch(self) -> Callable[..., None]:
        """The launch that writes statistics, and the moments of the batch as well."""
        launches = forward_launches(self._key, batch=True)
        return runner(launches[0 if self.at_once else 1], self.device)


class BackwardPlan(_Plan):
    """A backward pass that is compiled."""

    def __init__(self, key: BackwardKey) -> None:
        super().__init__(key, backward_launches(key))
        self._training, self._has_source = key.training, key.source != NO_SOURCE
        tile = self._tile = sums_tile(self.shape, key.multiprocessors, backward=True)
        self._work = 5 * self.channels + tile.parts + 2 * tile.parts * self.channels
        self._sums_sizes = *self.units, tile.chunks, tile.units, tile.units_a_part
        self._total = self.shape.total

    def run(self, call: BackwardCall) -> Gradients:
        """Compute a backward pass on its device, which is the current one."""
        x, mask, grad_y, weight, bias = call.x, call.mask, call.grad_y, call.weight, call.bias
        saved, source = call.saved, call.slope_source
        grad_x = torch.empty_like(x)
        grad_residual = torch.empty_like(x) if self._has_source else None
        grad_weight = x.new_empty(self.channels, dtype=_FLOAT)
        grad_bias = torch.empty_like(grad_weight)
        real, stream = None if mask is None else mask.view(torch.uint8), _stream(self.device)
        inputs = x, source, grad_y, real, saved, weight, bias, grad_residual
        if self.at_once:
            self.runners[0](stream, *inputs, grad_x, grad_weight, grad_bias, *self.units, self.shape.outer)
            return grad_x, grad_weight, grad_bias, grad_residual
        training = self._training
        work = x.new_empty(self._work, dtype=_FLOAT)
        self.runners[0](stream, *inputs, None if training else grad_x, work, *self._sums_sizes)
        self.runners[1](
            stream, work, saved, weight, bias, grad_weight, grad_bias, self.channels, self._tile.parts
        )
        if training:
            gradient = grad_y if grad_residual is None else grad_residual
            self.runners[2](stream, x, gradient, real, work, grad_x, *self.units, self._total)
        return grad_x, grad_weight, grad_bias, grad_residual


def _stream(device: int) -> int:
    if INTERPRETED:
        return 0
    return torch._C._cuda_getCurrentRawStream(device)
