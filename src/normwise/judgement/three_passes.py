"""Outcomes of a model with three kinds of statistics, and the loss of evaluation compared with exact ones."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from normwise.records import ProbeOutcome, Severity, outcome_text

#: Distance of outputs, in standard deviations, from which they count as different.
_MOVED = 0.25
#: Degradation in evaluation from which it is a warning, and from which it is an error: points of accuracy,
#: share of the loss with exact statistics, loss, and distance of the outputs in standard deviations.
_ACCURACY = (0.02, 0.05)
_LOSS_SHARE = (0.15, 0.3)
_LOSS = (0.05, 0.1)
_DISTANCE = (0.35, 0.6)
#: Fewest samples that must be wrong for it.
_SAMPLES = 4


@dataclass(frozen=True)
class ThreePasses:
    """Outcomes of a model in evaluation, on the same batches, with three kinds of statistics.

    Attributes:
        running: Outcome with running (in Keras, moving) statistics.
        batch: Outcome when each BN layer normalises by the batch, as in training, with dropout off.
        exact: Outcome with the exact statistics of that pass, over all batches.
        losses: Loss of each batch, by "running", "batch" and "exact"; empty without a loss.
        samples: Number of samples in the batches.
    """

    running: ProbeOutcome
    batch: ProbeOutcome
    exact: ProbeOutcome
    losses: Mapping[str, Sequence[float]]
    samples: int

    @property
    def has_loss(self) -> bool:
        """Return whether losses of all three kinds are known."""
        return not any(math.isnan(outcome.loss) for outcome in (self.batch, self.exact))

    @property
    def exact_helps(self) -> bool:
        """Return whether evaluation is clearly worse with running statistics than with exact ones.

        If there is a loss, it must be worse by more than twice the standard error over the batches, and by more
        than 5 % or 0.02. Otherwise the outputs must differ by more than a quarter of their deviation. If outputs
        that are not classes differ so much, 5 % of the loss are enough: a loss on small targets is small.
        """
        gap = self.gap("running", "exact")
        if gap is None:
            return math.isnan(self.running.distance) or self.running.distance > _MOVED
        mean, error = gap
        if not math.isfinite(mean):
            return not math.isfinite(self.running.loss) and math.isfinite(self.exact.loss)
        least = 0.0 if math.isnan(self.exact.accuracy) and self.running.distance > _MOVED else 0.02
        return mean > max(2 * error, 0.05 * abs(self.exact.loss), least)

    @property
    def severity_by_cost(self) -> Severity:
        """Return the severity of wrong statistics, by the gain of evaluation with exact ones.

        A loss close to 0 doubles easily, so it must grow by an amount as well as by a share; or, if the outputs are
        not classes, the outputs must move.
        """
        running, exact = self.running, self.exact
        levels = []
        if self.has_loss:
            if not math.isfinite(running.loss):
                return "error"
            gap = running.loss - exact.loss
            amount = _level(gap, _LOSS)
            if math.isnan(exact.accuracy):
                amount = max(amount, _level(running.distance, _DISTANCE))
            levels.append(min(_level(gap / max(abs(exact.loss), 1e-12), _LOSS_SHARE), amount))
        lost = exact.accuracy - running.accuracy
        if math.isfinite(lost):
            levels.append(_level(lost, _ACCURACY) if lost * self.samples >= _SAMPLES else 0)
        if not levels:
            levels.append(_level(running.distance, _DISTANCE) if math.isfinite(running.distance) else 2)
        severities: tuple[Severity, ...] = ("info", "warning", "error")
        return severities[max(levels)]

    @property
    def cost_of_statistics(self) -> str:
        """Return evaluation with running and with exact statistics as text; empty without a measurement."""
        running, exact = outcome_text(self.running), outcome_text(self.exact)
        if running or exact:
            return f"evaluation {running}; with exact statistics {exact}"
        distance = self.running.distance
        return "" if math.isnan(distance) else f"outputs in evaluation are off by {distance:.2g} σ"

    @property
    def cost_of_batches(self) -> str:
        """Return evaluation with batch and with exact statistics as text; empty without a measurement."""
        batch, exact = outcome_text(self.batch), outcome_text(self.exact)
        if batch and exact:
            return f"with batch statistics, as in training, {batch}; with exact statistics {exact}"
        distance = self.batch.distance
        return (
            "" if math.isnan(distance) else f"outputs in training are off by {distance:.2g} σ from exact ones"
        )

    def gap(self, worse: str, better: str) -> tuple[float, float] | None:
        """Return the increase of the loss between two kinds of statistics, and its standard error.

        The error is over the batches, and 0 for a single one. None if the losses are unknown.
        """
        one, other = self.losses.get(worse, ()), self.losses.get(better, ())
        if not one or len(one) != len(other):
            return None
        gaps = [high - low for high, low in zip(one, other, strict=True)]
        if not all(map(math.isfinite, gaps)):
            return sum(gaps), 0.0
        return fmean(gaps), stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0


def _level(value: float, bounds: tuple[float, float]) -> int:
    return sum(value >= bound for bound in bounds)
