"""Passes of a calibration: the slots measured in each pass, and the point at which their statistics are final."""

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

#: Function of the finished batches of this pass, their total if known, and a description of the pass.
Progress = Callable[[int, int | None, str], None]
#: Most repeated measurements of a cyclic component.
_MOST_SWEEPS = 10


class Schedule:
    """Passes over the same batches; after each pass, the measured slots normalise by their new statistics.

    Attributes:
        before: Old running mean and variance of each slot, by path.
        statistics: New running mean and variance of each slot, by path.
        measured: Last measurement of each slot, over all processes.
        passes: Number of passes so far.
        residual: Largest change of a statistic that another pass might make; for means, in standard deviations.
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
        #: Number of passes that are needed; None if unknown.
        self._needed: int | None = None

    def run(self, order: Order) -> None:
        """Make all passes.

        The first pass measures all slots, which normalise by each batch; for ``"training"`` it is the only pass.
        For ``"evaluation"`` one pass for each further slot follows, in the order of calls: the inputs of a slot
        depend only on the slots before it, which are final by then, and a batch is followed only up to that slot.
        Slots that are called several times, or in varying order, are measured again until they converge.
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
        """Measure the slots of a cyclic component repeatedly, and return their last change.

        If the change grows, they may never converge: the statistics before it are restored.
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
        """Make a pass, let the slots normalise by their new statistics, and return the largest change."""
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
        """Return the measurements of all processes; if one process fails, all do."""
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
        """Let a slot normalise by its new statistics, and return their distance from the last ones."""
        slot = self._model.slots[path]
        self._model.normalise_by(path, *new_statistics(slot, seen, self._variance, self.before[path]))
        return change(seen, last, self._variance, kind_of_norm(slot.layer).eps)

    def _after_batch(self) -> Callable[[int], None]:
        """Return the function that is called after each batch of a pass."""
        progress = self._progress
        if progress is None:
            return lambda done: None
        total, needed = self._model.batches.total(), f" of {self._needed}" if self._needed else ""
        return lambda done: progress(done, total, f"pass {self.passes}{needed}")

    @property
    def _tolerance(self) -> float:
        """Return the largest change that counts as converged: twice the rounding error of the statistics."""
        return max((2 * torch.finfo(mean.dtype).eps for mean, _ in self.before.values()), default=0.0)
