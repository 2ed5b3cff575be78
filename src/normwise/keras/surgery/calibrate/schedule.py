"""The passes that calibration makes: which layers are measured in which, and when their statistics are final."""

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

#: How often the layers of a cyclic component are measured anew.
_MOST_SWEEPS = 10
#: Largest change that counts as none: twice the rounding of float32.
_TOLERANCE = 2 * float(np.finfo(np.float32).eps)


class Schedule:
    """Passes over the same batches, after each of which layers normalise by the statistics of what they saw.

    Attributes:
        before: Moving mean and variance of each layer, by path, as they were.
        statistics: Those that each is to have, by path.
        measured: What each saw last.
        passes: How many were made.
        residual: By how much another pass might move a statistic, of a mean in standard deviations.
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

        The first has all layers, each of which normalises by the batch that it sees; for ``"training"`` it is the only
        one. For ``"evaluation"`` a pass for each layer but the first follows, in the order of their calls: what a layer
        sees depends on those before it alone, which are final then. Layers that are called several times, or in one
        order here and in another there, are measured again until they no longer move.
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
        """Measure the layers of a cyclic component again and again; return how much they moved last.

        Where they move more than the time before they may never settle: what they were then is put back.
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
        """Make a pass, and let the layers normalise by what they saw; return by how much the statistics moved."""
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
        """Let a layer normalise by what it saw; return how far that is from what it saw last."""
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
        """Return why there are no statistics of what a layer normalises; empty where there are."""
        seen = self.measured.seen[path]
        if seen.together.count == 0:
            return self.measured.reasons.get(path, "the data never reach it")
        if seen.lacks(self._variance):
            return "it sees fewer than two values a channel" + (
                " in any batch" if self._variance == "batch" else ""
            )
        return ""
