"""Passes over data in which BN layers see their inputs, and get their statistics from them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.records import VarianceKind
from normwise.statistics.batches import arguments_of
from normwise.statistics.execution import Block, Execution
from normwise.statistics.moments import Moments
from normwise.statistics.place import Place, place_of_call, places_of
from normwise.statistics.seen import Seen

#: Called with the batches done in this pass, how many there are if that is known, and what is going on.
Progress = Callable[[int, int | None, str], None]
#: How often all layers are measured anew where a statistic feeds on itself, since its layer is called several times.
_MOST_SWEEPS = 10


class _Enough(BaseException):
    """What was wanted of a forward pass has been seen."""


class Passes:
    """Passes over the same batches, after each of which layers have the statistics of what they saw.

    A layer with statistics for each time step is as many places as it has steps, every other is one.

    Attributes:
        places: By path, in the order of the model.
        before: Running mean and variance of each place, by path, as they were.
        seen: What each place saw last, by path.
        number: Passes made so far.
        batches_read: Of the last pass, in all processes.
        residual: By how much another pass might move a statistic, of a mean in standard deviations.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Any],
        layers: Mapping[str, nn.Module],
        variance: VarianceKind,
        *,
        max_batches: int | None,
        group: dist.ProcessGroup | None,
        progress: Progress | None,
    ) -> None:
        self.places = {place.path: place for at in layers.items() for place in places_of(*at)}
        self.before = {
            path: (place.mean.clone(), place.variance.clone()) for path, place in self.places.items()
        }
        self.seen = {path: Seen.nothing(len(mean)) for path, (mean, _) in self.before.items()}
        self.number, self.batches_read, self.residual = 0, 0, 0.0
        self._model, self._batches, self._layers = model, batches, layers
        self._variance: VarianceKind = variance
        self._device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
        self._max_batches, self._group, self._progress = max_batches, group, progress
        self._execution = Execution()
        #: How many passes it takes; None where that can't be told.
        self._needed: int | None = None

    def by_batch(self) -> None:
        """One pass in which each layer normalises with the statistics of the batch that it sees."""
        self._run(set(self.places), by_batch=True)

    def consistently(self, begin: Callable[[], None]) -> None:
        """After :meth:`by_batch`: a pass for each place but the first, in the order of execution.

        The inputs of a place depend on those before it alone, which are final then, and a batch needs to be followed
        only as far as that place. Where places are called several times, or in one order here and in another there,
        these are measured again until they no longer move.
        """
        blocks = [block for block in self._execution.blocks() if block.tangled or not block.first]
        self._needed = None if any(block.tangled for block in blocks) else 1 + len(blocks)
        for block in blocks:
            if block.tangled:
                self.residual = max(self.residual, self._settle(block, begin))
            else:
                begin()
                self._run(set(block.paths), by_batch=False, stops=True)

    def _settle(self, block: Block, begin: Callable[[], None]) -> float:
        """Measure each place of a tangled block again and again; returns how much they moved last.

        Where they move more than the time before they may never settle: what they were then is put back.
        """
        last = math.inf
        for _ in range(_MOST_SWEEPS):
            kept = {
                path: (self.seen[path], *map(Tensor.clone, self.places[path].both)) for path in block.paths
            }
            moved = 0.0
            for path in block.paths:
                begin()
                moved = max(moved, self._run({path}, by_batch=False))
            if moved > last:
                for path, (seen, *statistics) in kept.items():
                    self.seen[path] = seen
                    for buffer, value in zip(self.places[path].both, statistics, strict=True):
                        buffer.copy_(value)
                return moved
            last = moved
            if moved <= self._tolerance:
                break
        return last

    def _run(self, measured: set[str], *, by_batch: bool, stops: bool = False) -> float:
        """Make a pass, and set what was measured; returns by how much the statistics moved.

        With ``stops`` a batch is followed only as far as what is measured, which it calls once at most.
        """
        now = {path: Seen.nothing(len(place.mean)) for path, place in self.places.items() if path in measured}
        self.number += 1
        # The other processes wait for this one, also when it fails.
        failure: BaseException | None = None
        try:
            self.batches_read = self._read(now, by_batch, stops)
        except BaseException as error:
            if self._group is None:
                raise
            failure = error
        if self._group is not None:
            now = self._gather(now, failure, self._group)
        moved = max((self._set(path, found) for path, found in now.items()), default=0.0)
        self.seen |= now
        return moved

    def _read(self, now: dict[str, Seen], by_batch: bool, stops: bool) -> int:
        total = len(self._batches) if isinstance(self._batches, Sized) else None
        if self._max_batches is not None:
            total = self._max_batches if total is None else min(total, self._max_batches)
        done = 0

        def look(path: str, values: Tensor, mask: Tensor | None) -> None:
            self._execution.called(path)
            if path not in now:
                return
            found = Moments.of(values, mask)
            if not math.isfinite(found.m2.sum()):
                channel = int((~torch.isfinite(found.m2)).nonzero()[0])
                raise ModelError(
                    f"batch {done} (counted from 0) gives channel {channel} of {_named(self.places[path])} values "
                    "that are not finite, and its statistics would not be either. Find out where they come from, "
                    "or leave that batch out"
                )
            now[path].add(found)
            if by_batch and found.count:
                use = found if found.count > 1 else now[path].together
                self.places[path].mean.copy_(use.mean)
                self.places[path].variance.copy_(use.variance)
            if stops:
                raise _Enough

        with _looking(self._layers, look):
            for batch in islice(self._batches, self._max_batches):
                self._execution.begin()
                self._call(batch, done)
                done += 1
                if self._progress is not None:
                    passes = f" of {self._needed}" if self._needed else ""
                    self._progress(done, total, f"pass {self.number}{passes}")
        return done

    def _call(self, batch: Any, number: int) -> None:
        args, kwargs = pytree.tree_map_only(Tensor, lambda t: t.to(self._device), arguments_of(batch))
        try:
            self._model(*args, **kwargs)
        except _Enough:
            pass
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"the model fails on batch {number} (counted from 0): {error}") from error

    def _gather(
        self, now: dict[str, Seen], failure: BaseException | None, group: dist.ProcessGroup
    ) -> dict[str, Seen]:
        """What all processes saw, and in what order."""
        own = (
            None if failure is None else f"{type(failure).__name__}: {failure}",
            {path: found.cpu() for path, found in now.items()},
            self._execution,
            self.batches_read,
        )
        everybody: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(everybody, own, group=group)
        if failure is not None:
            raise failure
        for rank, (text, *_) in enumerate(everybody):
            if text is not None:
                raise ModelError(f"process {rank} of the group failed: {text}")
        self._execution = Execution.merged(execution for _, _, execution, _ in everybody)
        self.batches_read = sum(count for *_, count in everybody)
        merged = everybody[0][1]
        for _, other, *_ in everybody[1:]:
            merged = {path: found.merged(other[path]) for path, found in merged.items()}
        return merged

    def _set(self, path: str, found: Seen) -> float:
        """Give a layer its statistics; returns how far they are from what it got last."""
        place, last = self.places[path], self.seen[path]
        if found.lacks(self._variance):
            for buffer, value in zip(place.both, self.before[path], strict=True):
                buffer.copy_(value)
            return 0.0
        mean, variance = found.together.mean, found.variance(self._variance)
        for buffer, value in ((place.mean, mean), (place.variance, variance)):
            rounded = value.to(buffer)
            if not torch.isfinite(rounded).all():
                raise ModelError(
                    f"{_named(place)} keeps its statistics in {buffer.dtype}, which can't hold "
                    f"{value.abs().max():g}; keep BN layers in float32 (layer.float()), also in a model of halves"
                )
            buffer.copy_(rounded)
        if last.lacks(self._variance):
            return math.inf
        spread = (variance + getattr(place.layer, "eps", 1e-5)).to(mean.device)
        moved = (mean - last.together.mean.to(mean.device)).abs() / spread.sqrt()
        widened = (variance - last.variance(self._variance).to(mean.device)).abs() / spread
        return max(moved.max().item(), widened.max().item())

    @property
    def _tolerance(self) -> float:
        """Changes as small as what the statistics are rounded to are none."""
        return max((2 * torch.finfo(place.mean.dtype).eps for place in self.places.values()), default=0.0)


def _named(place: Place) -> str:
    return f"{type(place.layer).__name__} {place.path!r}"


@contextmanager
def _looking(
    layers: Mapping[str, nn.Module], look: Callable[[str, Tensor, Tensor | None], None]
) -> Iterator[None]:
    """Call ``look`` with the path of a place, the input and the mask before each of its calls."""

    def hook_of(path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            at = place_of_call(path, layer, args, kwargs)
            look(at, args[0] if args else kwargs["input"], kwargs.get("mask"))

        return hook

    hooks = [
        layer.register_forward_pre_hook(hook_of(path), with_kwargs=True) for path, layer in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
