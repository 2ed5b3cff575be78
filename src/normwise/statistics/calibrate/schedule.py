"""The passes that calibration makes: which slots are measured in which, and when their statistics are final."""

import math
from collections.abc import Callable, Collection

import torch
from torch.distributed import ProcessGroup

from normwise.call_order import Component
from normwise.errors import ModelError
from normwise.layers import kind_of_norm
from normwise.records import Order, VarianceKind
from normwise.statistics.calibrate.gather import gather, gather_failure
from normwise.statistics.calibrate.new_statistics import change, new_statistics
from normwise.statistics.measure.batch_accumulator import BatchAccumulator
from normwise.statistics.measure.measured_model import MeasuredModel
from normwise.statistics.measure.measurement import Measurement

#: Called with the batches done in this pass, how many there are if that is known, and what is going on.
Progress = Callable[[int, int | None, str], None]
#: How often the slots of a cyclic component are measured anew.
_MOST_SWEEPS = 10


class Schedule:
    """Passes over the same batches, after each of which slots normalise by the statistics of what they saw.

    Attributes:
        before: Running mean and variance of each slot, by path, as they were.
        statistics: Those that each slot is to have, by path.
        measured: What each slot saw last, in all processes.
        passes: How many were made.
        residual: By how much another pass might move a statistic, of a mean in standard deviations.
    """

    def __init__(
        self,
        model: MeasuredModel,
        variance: VarianceKind,
        *,
        group: ProcessGroup | None,
        progress: Progress | None,
    ) -> None:
        self.before = dict(model.statistics)
        self.statistics = model.statistics
        self.measured = Measurement(
            {path: BatchAccumulator.empty(len(mean)) for path, (mean, _) in self.before.items()}
        )
        self.passes, self.residual = 0, 0.0
        self._model = model
        self._variance: VarianceKind = variance
        self._group, self._progress = group, progress
        #: How many passes it takes; None where that can't be told.
        self._needed: int | None = None

    def run(self, order: Order) -> None:
        """Make all passes.

        The first has all slots, each of which normalises by the batch that it sees; for ``"training"`` it is the only
        one. For ``"evaluation"`` a pass for each slot but the first follows, in the order of their calls: what a slot
        sees depends on those before it alone, which are final then, and a batch needs to be followed only as far as
        that slot. Where slots are called several times, or in one order here and in another there, these are measured
        again until they no longer move.
        """
        self._pass(self.before, by_batch=True)
        if order == "training":
            return
        components = [
            each for each in self.measured.call_order.components() if each.is_cyclic or not each.is_first
        ]
        self._needed = None if any(each.is_cyclic for each in components) else 1 + len(components)
        for component in components:
            if component.is_cyclic:
                self.residual = max(self.residual, self._settle(component))
            else:
                self._pass(component.slots, ends_early=True)

    def _settle(self, component: Component) -> float:
        """Measure each slot of a cyclic component again and again; returns how much they moved last.

        Where they move more than the time before they may never settle: what they were then is put back.
        """
        last = math.inf
        for _ in range(_MOST_SWEEPS):
            kept = {path: (self.measured.seen[path], self.statistics[path]) for path in component.slots}
            moved = 0.0
            for path in component.slots:
                moved = max(moved, self._pass([path]))
            if moved > last:
                for path, (seen, statistics) in kept.items():
                    self.measured.seen[path] = seen
                    self._model.normalise_by(path, *statistics)
                return moved
            last = moved
            if moved <= self._tolerance:
                break
        return last

    def _pass(self, slots: Collection[str], *, by_batch: bool = False, ends_early: bool = False) -> float:
        """Make a pass, and let the slots normalise by what they saw; returns by how much the statistics moved."""
        self.passes += 1
        found = self._gathered(slots, by_batch=by_batch, ends_early=ends_early)
        last = dict(self.measured.seen)
        self.measured.update(found)
        for path, seen in found.seen.items():
            slot = self._model.slots[path]
            if seen.together.count and slot.layer_path in self.measured.reasons:
                raise ModelError(
                    f"{slot} normalises by its running statistics in some calls, and of others that can't be "
                    f"said: {self.measured.reasons[slot.layer_path]}. No statistics would be right for both"
                )
        moved = [self._set(path, seen, last[path]) for path, seen in found.seen.items()]
        return max(moved, default=0.0)

    def _gathered(self, slots: Collection[str], *, by_batch: bool, ends_early: bool) -> Measurement:
        """Return what all processes measured; if one fails, all do."""
        try:
            found = self._model.measure(
                slots,
                by_batch=slots if by_batch else (),
                ends_early=ends_early,
                after_batch=self._after_batch(),
            )
        except BaseException as error:
            if self._group is not None:
                gather_failure(error, self._group)
            raise
        return found if self._group is None else gather(found, self._group)

    def _set(self, path: str, seen: BatchAccumulator, last: BatchAccumulator) -> float:
        """Let a slot normalise by what it saw; returns how far that is from what it saw last."""
        slot = self._model.slots[path]
        self._model.normalise_by(path, *new_statistics(slot, seen, self._variance, self.before[path]))
        return change(seen, last, self._variance, kind_of_norm(slot.layer).eps)

    def _after_batch(self) -> Callable[[int], None]:
        """Return what is called after each batch of a pass."""
        progress = self._progress
        if progress is None:
            return lambda done: None
        total, needed = self._model.batches.total(), f" of {self._needed}" if self._needed else ""
        return lambda done: progress(done, total, f"pass {self.passes}{needed}")

    @property
    def _tolerance(self) -> float:
        """Largest change that counts as none: twice the rounding of the statistics."""
        return max((2 * torch.finfo(mean.dtype).eps for mean, _ in self.before.values()), default=0.0)
