"""A BN layer whose running statistics stay fixed while the moments of its inputs are accumulated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from normwise.distributed import union_of
from normwise.errors import MaskError, ModelError, ShapeError
from normwise.functional import update_running
from normwise.kernels.torch_backend.primitives import ChannelMoments
from normwise.layers import StatisticsSlot, kind_of_norm, slot_of_mean, slots_of
from normwise.layers.kind import STATISTICS
from normwise.statistics.measure.batch_accumulator import BatchAccumulator
from normwise.statistics.moments import Moments
from normwise.statistics.observe.normalised_inputs import Call, look_at_input, observe

_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]
_COUNTER = "num_batches_tracked"
#: Seconds that torch's synchronised layers, which have no timeout, wait for other ranks.
_TIMEOUT = 60.0


@dataclass
class _SeenBySlot:
    """Inputs of a slot since the last update of its statistics.

    Attributes:
        moments: Moments of all values.
        momentum: Momentum of the last call.
    """

    moments: BatchAccumulator
    momentum: float | Tensor | None = 0.1


@dataclass
class _CallUnderWay:
    """A call of the layer: its original buffers, which copies replace, and the moments of its inputs so far."""

    buffers: dict[str, Tensor]
    seen: list[tuple[str, Moments, float | Tensor | None]] = field(default_factory=list)


class AccumulatedLayer:
    """A BN layer of any kind within :func:`normwise.accumulate`.

    In each training call the layer gets copies of its running statistics: the forward pass reads them and updates
    only the copies, which are discarded. So the backward pass of the call never finds them changed.
    """

    def __init__(self, path: str, layer: nn.Module) -> None:
        kind = kind_of_norm(layer)
        self._path, self._layer, self._slots = (
            path,
            layer,
            {slot.path: slot for slot in slots_of(path, layer)},
        )
        self._synchronised, self._own_forward = kind.traits.synchronised, kind.forward_of is None
        self._seen: dict[str, _SeenBySlot] = {}
        self._call: _CallUnderWay | None = None
        self._ends: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Put hooks on the layer."""
        before = self._layer.register_forward_pre_hook(_Hook(self._before), with_kwargs=True)
        after = self._layer.register_forward_hook(_Hook(self._after), always_call=True)
        self._ends = [before.remove, after.remove]
        if self._own_forward:
            self._ends.append(observe(self._layer, self._look, self._unseen))

    def end(self) -> None:
        """Remove the hooks, and restore the layer's buffers if a call was cut short."""
        for end in self._ends:
            end()
        self._ends.clear()
        self._give_back()

    def move(self) -> None:
        """Update the running statistics with the union of all inputs since the last update."""
        seen, self._seen = self._seen, {}
        layer: Any = self._layer
        reached = 0
        # If the statistics are shared, all ranks take part, whatever inputs each has seen.
        for path in self._slots if self._synchronised else seen:
            slot = self._slots[path]
            one = seen.get(path) or _SeenBySlot(BatchAccumulator.empty(len(slot.mean)), layer.momentum)
            counter = self._counter(slot)
            if one.momentum is None and counter is None:
                continue  # torch's layers do not update then, either
            count, mean, variance = self._union(slot, one.moments.together)
            update_running(slot.mean, slot.variance, mean, variance, count, one.momentum, counter=counter)
            if slot.row is not None and count > 0:
                reached = max(reached, slot.row + 1)
        if reached:
            layer.extend(reached)

    def _union(self, slot: StatisticsSlot, seen: Moments) -> ChannelMoments:
        """Return the moments of a slot's inputs, over all ranks if they are synchronised."""
        device = slot.mean.device
        # Metal has no float64.
        wide = torch.float32 if device.type == "mps" else torch.float64
        count = torch.full((), seen.count, dtype=wide, device=device)
        own = ChannelMoments(count, seen.mean.to(device, wide), seen.m2.to(device, wide) / count.clamp(min=1))
        if not self._synchronised:
            return own
        layer: Any = self._layer
        name = f"{type(layer).__name__} {slot.path!r}, accumulated"
        ranks = union_of(layer.process_group, name, device, getattr(layer, "timeout", _TIMEOUT))
        return own if ranks is None else ranks.moments(own)

    def _counter(self, slot: StatisticsSlot) -> Tensor | None:
        counter = self._layer._buffers.get(_COUNTER)
        return counter if counter is None or slot.row is None else counter[slot.row]

    def _before(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if _transforms() is not None or torch._C._is_tracing():
            return  # values of torch.func and of a trace have no meaning outside
        buffers = {name: layer._buffers.get(name) for name in (*STATISTICS, _COUNTER)}
        own = {name: buffer for name, buffer in buffers.items() if buffer is not None}
        moves = (
            layer.training and getattr(layer, "track_running_stats", True) and own.keys() >= set(STATISTICS)
        )
        # An overridden forward pass may normalise by the batch in any mode.
        if not (moves or (self._own_forward and own)):
            return
        self._give_back()
        self._call = _CallUnderWay(own)
        layer._buffers.update({name: buffer.clone() for name, buffer in own.items()})
        if not self._own_forward:
            look_at_input(self._look, layer, args, kwargs)

    def _after(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        call = self._call
        self._give_back()
        if call is None or output is None:  # it raised
            return
        for path, moments, momentum in call.seen:
            seen = self._seen.setdefault(path, _SeenBySlot(BatchAccumulator.empty(len(moments.mean))))
            seen.moments.add(moments)
            seen.momentum = momentum

    def _give_back(self) -> None:
        if self._call is not None:
            self._layer._buffers.update(self._call.buffers)
            self._call = None

    def _look(self, layer: nn.Module, call: Call) -> bool:
        path = slot_of_mean(self._path, layer, call.running_mean)
        if path is None or self._call is None:
            return False
        # Activation checkpointing calls the layer again, in the backward pass, with the same inputs.
        again = torch._C._current_graph_task_id() != -1
        channels = len(self._slots[path].mean)
        if call.training and not again and call.values.dim() > 1 and call.values.shape[1] == channels:
            try:
                moments = Moments.of(call.values, call.mask)
            except (MaskError, ShapeError):
                return True  # the layer itself raises for it
            self._call.seen.append((path, moments, call.momentum))
        return True

    def _unseen(
        self, layer: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], output: Any
    ) -> Any:
        own = {} if self._call is None else self._call.buffers
        moved = [own[name] - layer.get_buffer(name) for name in STATISTICS if name in own]
        if any(bool(difference.nan_to_num().any()) for difference in moved):
            raise ModelError(
                f"{type(layer).__name__} {self._path!r} moves its running statistics without a call of batch_norm that "
                "gets them, so that the moments of what it normalises can't be seen. Call torch.nn.functional."
                "batch_norm in its forward, or accumulate in the parts of the model without it"
            )
        return output


class _Hook:
    """Hook on a layer, which does nothing in a copy or a pickle of the model."""

    def __init__(self, act: Callable[..., None] | None = None) -> None:
        self._act = act

    def __call__(self, *args: Any) -> None:
        """Call the hook's function."""
        if self._act is not None:
            self._act(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hook, ()
