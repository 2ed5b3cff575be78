"""One pass over data, in which the values that BN layers normalise are measured."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.layers import StatisticsSlot, kind_of_norm, slot_of_mean, slots_of
from normwise.statistics.calibrate.accumulator import Seen
from normwise.statistics.calibrate.call_order import Execution
from normwise.statistics.calibrate.repeated_batches import Repeated
from normwise.statistics.model_inputs import accepted_arguments, arguments_of, unwrapped
from normwise.statistics.moments import Moments
from normwise.statistics.observe.by_hand import reason_unknown, use_of_statistics
from normwise.statistics.observe.normalised_inputs import Call, observe


class _Enough(BaseException):
    """A signal that ends a forward pass of which enough has been seen."""


class Reader:
    """Forward passes of a model over data, in evaluation.

    Attributes:
        places: By path, in the order of the model.
        statistics: Running mean and variance that each place is to have, by path.
        execution: The order in which places were called.
        reasons: Why a layer that was called can't have the statistics of what it normalises, by path.
        idle: Paths of layers of which a forward pass did not use the running statistics.
        dropped: Keys of batches that the model's forward has no argument for.
    """

    def __init__(self, model: nn.Module, batches: Repeated, layers: Mapping[str, nn.Module]) -> None:
        self.places = {place.path: place for at in layers.items() for place in slots_of(*at)}
        self.statistics = {path: place.values() for path, place in self.places.items()}
        self.execution = Execution()
        self.reasons: dict[str, str] = {}
        self.idle: set[str] = set()
        self.dropped: dict[str, None] = {}
        self.batches = batches
        # Wrappers for several devices or processes would copy or exchange buffers in each pass.
        spread = isinstance(model, (DataParallel, DistributedDataParallel))
        self._model = unwrapped(model) if spread else model
        self._layers = layers
        #: Layers with a forward of their own, which may move the statistics before it normalises.
        self._own = {path for path, layer in layers.items() if kind_of_norm(layer).forward_of is None}
        self._device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
        self._now: dict[str, Seen] = {}
        self._by_batch, self._stops, self._done = False, False, 0

    def read(
        self, now: dict[str, Seen], progress: Callable[[int], None], *, by_batch: bool, stops: bool
    ) -> int:
        """Make a pass, and add to ``now`` what the places in it normalise; returns the number of batches.

        With ``by_batch`` each place normalises by what it sees. With ``stops`` a batch is followed only as far as the
        place that is measured, which it calls once at most.
        """
        self._now, self._by_batch, self._stops, self._done = now, by_batch, stops, 0
        with ExitStack() as stack:
            for path, layer in self._layers.items():
                stack.callback(observe(layer, partial(self._look, path), partial(self._unseen, path)))
            for batch in self.batches:
                self.execution.begin()
                self._call(batch)
                self._done += 1
                progress(self._done)
        self.batches.end()
        return self._done

    def _look(self, path: str, layer: nn.Module, call: Call) -> bool:
        at = slot_of_mean(path, layer, call.running_mean)
        if at is None:
            return False
        if call.training:
            self.reasons.setdefault(path, "it normalises by the batch in evaluation, too")
            return True
        self.execution.called(at)
        measured = at in self._now
        if path in self._own and not (measured and self._by_batch):
            self.places[at].put(*self.statistics[at])
        if measured:
            self._measure(self.places[at], call)
        return True

    def _unseen(
        self, path: str, layer: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any, output: Any
    ) -> Any:
        place = self.places.get(path)
        use, x = ("unknown", None) if place is None else use_of_statistics(place, forward, args, kwargs)
        if use == "unknown":
            self.reasons.setdefault(path, reason_unknown(layer))
        if use == "nothing":
            self.idle.add(path)
        if x is None:
            return output
        self._look(path, layer, Call(x, None, layer.get_buffer("running_mean"), False))
        return forward(*args, **kwargs)

    def _measure(self, place: StatisticsSlot, call: Call) -> None:
        where = f"batch {self._done} (counted from 0) gives"
        found = Moments.of(call.values, call.mask)
        if len(found.mean) != len(place.mean):
            raise ModelError(
                f"{where} {named(place)} {len(found.mean)} channels, and its statistics have {len(place.mean)}"
            )
        if not math.isfinite(found.m2.sum()):
            channel = int((~torch.isfinite(found.m2)).nonzero()[0])
            raise ModelError(
                f"{where} channel {channel} of {named(place)} values that are not finite, and its statistics would not "
                "be either. Find out where they come from, or leave that batch out"
            )
        seen = self._now[place.path]
        seen.add(found)
        if self._by_batch and found.count:
            use = found if found.count > 1 else seen.together
            place.put(use.mean, use.variance)
        if self._stops:
            raise _Enough

    def _call(self, batch: Any) -> None:
        args, kwargs = arguments_of(batch)
        if kwargs:
            kwargs, dropped = accepted_arguments(self._model, kwargs)
            self.dropped |= dict.fromkeys(dropped)
        self.batches.add((args, kwargs))
        # Copies, as a forward may change its input in place, and the next pass reads it again.
        args, kwargs = pytree.tree_map_only(Tensor, lambda t: t.to(self._device, copy=True), (args, kwargs))
        try:
            self._model(*args, **kwargs)
        except _Enough:
            pass
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"the model fails on batch {self._done} (counted from 0): {error}") from error


def named(place: StatisticsSlot) -> str:
    """Return class and path of the place's layer, for messages."""
    return f"{type(place.layer).__name__} {place.path!r}"
