"""One pass over data that measures the inputs of BN layers."""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.layers import StatisticsSlot, kind_of_norm, slot_of_mean
from normwise.statistics.measure.batch_accumulator import BatchAccumulator
from normwise.statistics.measure.measurement import Measurement
from normwise.statistics.measure.repeated_batches import RepeatedBatches
from normwise.statistics.measure.run_batch import run_batch
from normwise.statistics.model_inputs import accepted_arguments, arguments_of
from normwise.statistics.moments import Moments
from normwise.statistics.observe.by_hand import reason_unknown, use_of_statistics
from normwise.statistics.observe.normalised_inputs import Call, observe

#: Function of a slot's path, the values that its layer normalises in one call, and their moments.
Visit = Callable[[str, Call, Moments], None]
#: Function that calls a model with the arguments of a batch, whose number comes last.
RunBatch = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], int], None]


class _EndOfForwardPass(BaseException):
    """Signal that ends a forward pass early, after the measured slot."""


class OnePass:
    """One pass over data.

    Args:
        layers: Observed layers, by path.
        slots: Slots of these layers, by path.
        statistics: Mean and variance that each slot normalises by, by path.
        measured: Paths of the measured slots.
        by_batch: Paths of the slots that normalise by the batch instead; their buffers are written to.
        ends_early: Whether a forward pass stops at the measured slot.
        visit: Function that is called for each measured call. With it, a call with non-finite values is left out of
            the statistics instead of raising an error, and ``visit`` judges its moments.
        run: Function that calls the model.
        follows_all: Whether unmeasured layers are followed as well, for the order of calls and for reasons.
            Otherwise only those with their own forward are.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        slots: Mapping[str, StatisticsSlot],
        statistics: Mapping[str, tuple[Tensor, Tensor]],
        measured: Collection[str],
        by_batch: Collection[str],
        ends_early: bool,
        visit: Visit | None = None,
        run: RunBatch = run_batch,
        follows_all: bool = True,
    ) -> None:
        self._visit, self._run = visit, run
        self._layers, self._slots, self._statistics = layers, slots, statistics
        self._by_batch, self._ends_early = by_batch, ends_early
        #: Layers with their own forward, which may update the statistics before it normalises.
        self._own_forward = {path for path, layer in layers.items() if kind_of_norm(layer).forward_of is None}
        needed = self._own_forward | {slots[path].layer_path for path in measured}
        #: Paths of the followed layers.
        self._followed = [path for path in layers if follows_all or path in needed]
        self._found = Measurement(
            {path: BatchAccumulator.empty(len(statistics[path][0])) for path in slots if path in measured}
        )

    def run(
        self, model: nn.Module, batches: RepeatedBatches, after_batch: Callable[[int], None]
    ) -> Measurement:
        """Make the pass, and return the measurement.

        Raises:
            ModelError: the model fails on a batch, or a slot's input is not finite or has too many channels.
        """
        found = self._found
        with ExitStack() as stack:
            for path in self._followed:
                layer = self._layers[path]
                stack.callback(observe(layer, partial(self._look, path), partial(self._unseen, path)))
            for batch in batches:
                found.call_order.begin()
                args, kwargs = arguments_of(batch)
                if kwargs:
                    kwargs, dropped = accepted_arguments(model, kwargs)
                    found.dropped |= dict.fromkeys(dropped)
                batches.add((args, kwargs))
                with suppress(_EndOfForwardPass):
                    self._run(model, args, kwargs, found.batches)
                found.batches += 1
                after_batch(found.batches)
        batches.end()
        return found

    def _look(self, path: str, layer: nn.Module, call: Call) -> bool:
        slot = slot_of_mean(path, layer, call.running_mean)
        if slot is None:
            return False
        if call.training:
            self._found.reasons.setdefault(path, "it normalises by the batch in evaluation, too")
            return True
        self._found.call_order.add_call(slot)
        if path in self._own_forward and slot not in self._by_batch:
            self._slots[slot].put(*self._statistics[slot])
        if slot in self._found.seen:
            self._measure(self._slots[slot], call)
        return True

    def _unseen(
        self, path: str, layer: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any, output: Any
    ) -> Any:
        slot = self._slots.get(path)
        use, x = ("unknown", None) if slot is None else use_of_statistics(slot, forward, args, kwargs)
        if use == "unknown":
            self._found.reasons.setdefault(path, reason_unknown(layer))
        if use == "nothing":
            self._found.unused.add(path)
        if x is None:
            return output
        self._look(path, layer, Call(x, None, layer.get_buffer("running_mean"), False))
        return forward(*args, **kwargs)

    def _measure(self, slot: StatisticsSlot, call: Call) -> None:
        where = f"batch {self._found.batches} (counted from 0) gives"
        batch = Moments.of(call.values, call.mask)
        if len(batch.mean) != len(slot.mean):
            raise ModelError(
                f"{where} {slot} {len(batch.mean)} channels, and its statistics have {len(slot.mean)}"
            )
        is_finite = math.isfinite(batch.m2.sum())
        if self._visit is not None:
            self._visit(slot.path, call, batch)
            if not is_finite:
                return
        if not is_finite:
            channel = int((~torch.isfinite(batch.m2)).nonzero()[0])
            raise ModelError(
                f"{where} channel {channel} of {slot} values that are not finite, and its statistics would not "
                "be either. Find out where they come from, or leave that batch out"
            )
        seen = self._found.seen[slot.path]
        seen.add(batch)
        if slot.path in self._by_batch and batch.count:
            # One value has no variance.
            use = batch if batch.count > 1 else seen.together
            slot.put(use.mean, use.variance)
        if self._ends_early:
            raise _EndOfForwardPass
