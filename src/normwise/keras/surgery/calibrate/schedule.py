"""Passes of a calibration: the layers measured in each pass, and the point at which their statistics are final."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from normwise.call_order import Component
from normwise.errors import ModelError
from normwise.keras.surgery.calibrate.batches import Batches
from normwise.keras.surgery.calibrate.layer_statistics import (
    Statistics,
    check_fits,
    is_unbiased,
    put,
    statistics_of,
)
from normwise.keras.surgery.calibrate.moments import Accumulator
from normwise.keras.surgery.calibrate.one_pass import Measurement, measure
from normwise.keras.surgery.process_state import RandomState
from normwise.records import Order, VarianceKind

#: Most repeated measurements of a cyclic component.
_MOST_SWEEPS = 10
#: Largest change that counts as converged: twice the rounding of float32.
_TOLERANCE = 2 * float(np.finfo(np.float32).eps)


class Schedule:
    """Passes over the same batches; after each pass, the measured layers normalise by their new statistics.

    Attributes:
        before: Old moving mean and variance of each layer, by path.
        statistics: New moving mean and variance of each layer, by path.
        measured: Last measurement of each layer.
        passes: Number of passes so far.
        residual: Largest change of a statistic that another pass might make; for means, in standard deviations.
    """

    def __init__(
        self,
        model: Any,
        layers: Mapping[str, Any],
        batches: Batches,
        variance: VarianceKind,
        state: RandomState,
    ) -> None:
        self.before = {path: statistics_of(layer) for path, layer in layers.items()}
        self.statistics = dict(self.before)
        self.measured = Measurement(
            {path: Accumulator.empty(len(mean)) for path, (mean, _) in self.before.items()}
        )
        self.passes, self.residual = 0, 0.0
        self._model, self._layers, self._batches = model, layers, batches
        self._variance: VarianceKind = variance
        self._state = state

    def run(self, order: Order) -> None:
        """Make all passes.

        The first pass measures all layers, which normalise by each batch; for ``"training"`` it is the only pass.
        For ``"evaluation"`` one pass for each further layer follows, in the order of calls: the inputs of a layer
        depend only on the layers before it, which are final by then. Layers that are called several times, or in
        varying order, are measured again until they converge.
        """
        self._pass(list(self._layers), by_batch=True)
        if order == "training":
            return
        for component in self.measured.call_order.components():
            if component.is_cyclic:
                self.residual = max(self.residual, self._settle(component))
            elif not component.is_first:
                self._pass(component.slots, ends_early=True)

    def _settle(self, component: Component) -> float:
        """Measure the layers of a cyclic component repeatedly, and return their last change.

        If the change grows, they may never converge: the statistics before it are restored.
        """
        last = math.inf
        for _ in range(_MOST_SWEEPS):
            kept = {path: (self.measured.seen[path], self.statistics[path]) for path in component.slots}
            moved = max(self._pass([path]) for path in component.slots)
            if moved > last:
                for path, (seen, statistics) in kept.items():
                    self.measured.seen[path] = seen
                    self._normalise_by(path, statistics)
                return moved
            last = moved
            if moved <= _TOLERANCE:
                break
        return last

    def _pass(self, paths: Collection[str], *, by_batch: bool = False, ends_early: bool = False) -> float:
        """Make a pass, let the layers normalise by their new statistics, and return the largest change."""
        self.passes += 1
        self._state.put_back()
        found = measure(
            self._model, self._layers, self._batches, paths, by_batch=by_batch, ends_early=ends_early
        )
        last = dict(self.measured.seen)
        self.measured.seen |= found.seen
        self.measured.reasons |= found.reasons
        self.measured.batches = found.batches
        if by_batch:
            self.measured.call_order = found.call_order
        moved = [self._set(path, seen, last[path]) for path, seen in found.seen.items()]
        return max(moved, default=0.0)

    def _set(self, path: str, seen: Accumulator, last: Accumulator) -> float:
        """Let a layer normalise by its new statistics, and return their distance from the last ones."""
        if seen.together.count and path in self.measured.reasons:
            raise ModelError(
                f"{path!r} normalises by its moving statistics in some calls, and in others not: "
                f"{self.measured.reasons[path]}. No statistics would be right for both"
            )
        if seen.lacks(self._variance):
            self._normalise_by(path, self.before[path])
            return 0.0
        layer = self._layers[path]
        mean = seen.together.mean
        variance = seen.variance(self._variance, unbiased=is_unbiased(layer))
        check_fits(path, layer, mean, variance)
        self._normalise_by(path, (mean, variance))
        if last.lacks(self._variance):
            return math.inf
        was = last.variance(self._variance, unbiased=is_unbiased(layer))
        spread = variance + layer.epsilon
        moved = np.abs(mean - last.together.mean) / np.sqrt(spread)
        return float(max(moved.max(), (np.abs(variance - was) / spread).max()))

    def _normalise_by(self, path: str, statistics: Statistics) -> None:
        self.statistics[path] = statistics
        put(self._layers[path], *statistics)

    def reason_against(self, path: str) -> str:
        """Return why there are no statistics of a layer's inputs; empty if there are."""
        seen = self.measured.seen[path]
        if seen.together.count == 0:
            return self.measured.reasons.get(path, "the data never reach it")
        if seen.lacks(self._variance):
            return "it sees fewer than two values a channel" + (
                " in any batch" if self._variance == "batch" else ""
            )
        return ""
