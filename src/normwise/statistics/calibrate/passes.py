"""Passes over data in which BN layers see their inputs, and get their statistics from them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from normwise.errors import ModelError
from normwise.records import VarianceKind
from normwise.statistics.calibrate.accumulator import Seen
from normwise.statistics.calibrate.call_order import Block, Execution
from normwise.statistics.calibrate.one_pass import Reader, named

#: Called with the batches done in this pass, how many there are if that is known, and what is going on.
Progress = Callable[[int, int | None, str], None]
#: How often all layers are measured anew where a statistic feeds on itself, since its layer is called several times.
_MOST_SWEEPS = 10


class Passes:
    """Passes over the same batches, after each of which layers have the statistics of what they saw.

    A layer with statistics for each time step is as many places as it has steps, every other is one.

    Attributes:
        reader: Makes the passes; it has the places, and the statistics that were found so far.
        before: Running mean and variance of each place, by path, as they were.
        seen: What each place saw last, by path.
        number: Passes made so far.
        batches_read: Of the last pass, in all processes.
        residual: By how much another pass might move a statistic, of a mean in standard deviations.
    """

    def __init__(
        self,
        reader: Reader,
        variance: VarianceKind,
        *,
        group: dist.ProcessGroup | None,
        progress: Progress | None,
    ) -> None:
        self.reader = reader
        self.before = dict(reader.statistics)
        self.seen = {path: Seen.nothing(len(mean)) for path, (mean, _) in self.before.items()}
        self.number, self.batches_read, self.residual = 0, 0, 0.0
        self._variance: VarianceKind = variance
        self._group, self._progress = group, progress
        #: How many passes it takes; None where that can't be told.
        self._needed: int | None = None

    def by_batch(self) -> None:
        """One pass in which each layer normalises with the statistics of the batch that it sees."""
        self._run(set(self.before), by_batch=True)

    def consistently(self, begin: Callable[[], None]) -> None:
        """After :meth:`by_batch`: a pass for each place but the first, in the order of execution.

        The inputs of a place depend on those before it alone, which are final then, and a batch needs to be followed
        only as far as that place. Where places are called several times, or in one order here and in another there,
        these are measured again until they no longer move.
        """
        blocks = [block for block in self.reader.execution.blocks() if block.tangled or not block.first]
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
            kept = {path: (self.seen[path], self.reader.statistics[path]) for path in block.paths}
            moved = 0.0
            for path in block.paths:
                begin()
                moved = max(moved, self._run({path}, by_batch=False))
            if moved > last:
                for path, (seen, statistics) in kept.items():
                    self.seen[path] = seen
                    self._give(path, *statistics)
                return moved
            last = moved
            if moved <= self._tolerance:
                break
        return last

    def _run(self, measured: set[str], *, by_batch: bool, stops: bool = False) -> float:
        """Make a pass, and set what was measured; returns by how much the statistics moved.

        With ``stops`` a batch is followed only as far as what is measured, which it calls once at most.
        """
        now = {path: Seen.nothing(len(self.before[path][0])) for path in self.before if path in measured}
        self.number += 1
        # The other processes wait for this one, also when it fails.
        failure: BaseException | None = None
        try:
            self.batches_read = self.reader.read(now, self._tell(), by_batch=by_batch, stops=stops)
        except BaseException as error:
            if self._group is None:
                raise
            failure = error
        if self._group is not None:
            now = self._gather(now, failure, self._group)
        for path, found in now.items():
            place = self.reader.places[path]
            if found.together.count and place.layer_path in self.reader.reasons:
                raise ModelError(
                    f"{named(place)} normalises by its running statistics in some calls, and of others that can't be "
                    f"said: {self.reader.reasons[place.layer_path]}. No statistics would be right for both"
                )
        moved = max((self._set(path, found) for path, found in now.items()), default=0.0)
        self.seen |= now
        return moved

    def _gather(
        self, now: dict[str, Seen], failure: BaseException | None, group: dist.ProcessGroup
    ) -> dict[str, Seen]:
        """What all processes saw, and in what order."""
        own = (
            None if failure is None else f"{type(failure).__name__}: {failure}",
            {path: found.cpu() for path, found in now.items()},
            self.reader.execution,
            self.reader.reasons,
            self.batches_read,
        )
        everybody: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(everybody, own, group=group)
        if failure is not None:
            raise failure
        for rank, (text, *_) in enumerate(everybody):
            if text is not None:
                raise ModelError(f"process {rank} of the group failed: {text}")
        self.reader.execution = Execution.merged(execution for _, _, execution, *_ in everybody)
        for _, _, _, reasons, _ in everybody:
            self.reader.reasons = reasons | self.reader.reasons
        self.batches_read = sum(count for *_, count in everybody)
        merged = everybody[0][1]
        for _, other, *_ in everybody[1:]:
            merged = {path: found.merged(other[path]) for path, found in merged.items()}
        return merged

    def _set(self, path: str, found: Seen) -> float:
        """Give a layer its statistics; returns how far they are from what it got last."""
        place, last = self.reader.places[path], self.seen[path]
        if found.lacks(self._variance):
            self._give(path, *self.before[path])
            return 0.0
        mean, variance = found.together.mean, found.variance(self._variance)
        rounded = mean.to(self.before[path][0]), variance.to(self.before[path][1])
        for value, kept in zip((mean, variance), rounded, strict=True):
            if not torch.isfinite(kept).all():
                raise ModelError(
                    f"{named(place)} keeps its statistics in {kept.dtype}, which can't hold "
                    f"{value.abs().max():g}; keep BN layers in float32 (layer.float()), also in a model of halves"
                )
        self._give(path, *rounded)
        if last.lacks(self._variance):
            return math.inf
        spread = (variance + getattr(place.layer, "eps", 1e-5)).to(mean.device)
        moved = (mean - last.together.mean.to(mean.device)).abs() / spread.sqrt()
        widened = (variance - last.variance(self._variance).to(mean.device)).abs() / spread
        return max(moved.max().item(), widened.max().item())

    def _give(self, path: str, mean: Tensor, variance: Tensor) -> None:
        self.reader.statistics[path] = mean, variance
        self.reader.places[path].put(mean, variance)

    def _tell(self) -> Callable[[int], None]:
        """Return what is called after each batch of a pass."""
        progress = self._progress
        if progress is None:
            return lambda done: None
        total, needed = self.reader.batches.total(), f" of {self._needed}" if self._needed else ""
        return lambda done: progress(done, total, f"pass {self.number}{needed}")

    @property
    def _tolerance(self) -> float:
        """Changes as small as what the statistics are rounded to are none."""
        return max((2 * torch.finfo(mean.dtype).eps for mean, _ in self.before.values()), default=0.0)
