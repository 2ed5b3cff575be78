"""The three-way probe: a model in evaluation with running, batch and exact statistics, on the same batches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from normwise.doctor.facts.data.user_batches import UserBatch
from normwise.doctor.facts.passes.batch_moments import BatchMoments
from normwise.doctor.facts.passes.skip_backward import SkipBackward
from normwise.doctor.facts.passes.task import Task, output_tensor
from normwise.errors import NormwiseError
from normwise.judgement.three_passes import ThreePasses
from normwise.layers import LayerKind, StatisticsSlot
from normwise.layers.reasons import UNINITIALISED
from normwise.records import LayerCalibration, ProbeOutcome
from normwise.statistics.calibrate.layer_record import layer_record
from normwise.statistics.measure.measurable_layers import reason_without_statistics
from normwise.statistics.measure.measured_model import measuring
from normwise.statistics.measure.measurement import Measurement
from normwise.statistics.moments import Moments
from normwise.statistics.observe.normalised_inputs import Call

#: Number of samples of a batch whose outputs are compared.
_COMPARED = 16


@dataclass(frozen=True)
class Probe(ThreePasses):
    """Outcomes of a model with three kinds of statistics, and measurements of its layers' inputs.

    Attributes:
        layers: Distance of each slot's running statistics from the exact ones, by path.
        moments: Moments of each slot's inputs in the second pass, by path.
        exact_statistics: Exact mean and unbiased variance of each slot, ``(C,)`` in float64, by path.
        order: Paths of the slots in the order of their first calls.
        calls: Number of calls of each slot in the second pass, by path.
        reasons: Reasons why a layer was not measured, by path.
        failed: Reason why the model could not be run; empty if it could.
    """

    layers: Mapping[str, LayerCalibration]
    moments: Mapping[str, BatchMoments]
    exact_statistics: Mapping[str, tuple[Tensor, Tensor]]
    order: tuple[str, ...]
    calls: Mapping[str, int]
    reasons: Mapping[str, str]
    failed: str = ""


def run_probe(task: Task, layers: Mapping[str, LayerKind], batches: tuple[UserBatch, ...]) -> Probe:
    """Make the three passes, and leave the model and the random states unchanged."""
    reasons = {
        path: reason_without_statistics(path, kind.layer) if kind.initialised else UNINITIALISED
        for path, kind in layers.items()
    }
    measurable = {path: layers[path].layer for path, reason in reasons.items() if not reason}
    fixed = {path for path in measurable if layers[path].frozen}
    given = [batch.given for batch in batches]
    run = _Run(task, batches)
    with measuring(task.model, measurable, given, None) as measured:
        slots, before = dict(measured.slots), dict(measured.statistics)
        moving = [path for path, slot in slots.items() if slot.layer_path not in fixed]
        run.begin("running")
        measured.measure((), run=run, follows_all=False)
        run.begin("batch")
        moments = {path: BatchMoments() for path in slots}

        def visit(path: str, call: Call, found: Moments) -> None:
            moments[path].add(call, found)

        measurement = measured.measure(slots, by_batch=moving, visit=visit, run=run)
        exact = _exact(measurement, slots)
        # The second pass left batch statistics in the buffers.
        for path, statistics in before.items():
            measured.normalise_by(path, *exact.get(path, statistics))
        run.begin("exact")
        measured.measure((), run=run, follows_all=False)
        records = {
            path: layer_record(slot, measurement, before[path], "population") for path, slot in slots.items()
        }
    return Probe(
        **run.outcomes(),
        losses=run.losses,
        samples=sum(batch.size for batch in batches),
        layers=records,
        moments=moments,
        exact_statistics=exact,
        order=tuple(measurement.call_order.slots),
        calls={path: found.not_finite + len(found.counts) for path, found in moments.items()},
        reasons={path: reason for path, reason in (reasons | measurement.reasons).items() if reason},
        failed=run.failed,
    )


def _exact(measurement: Measurement, slots: Mapping[str, StatisticsSlot]) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        path: (seen.together.mean, seen.together.unbiased_variance)
        for path, seen in measurement.seen.items()
        if path in slots and seen.together.count > 1
    }


@dataclass
class _Run:
    """Runs of the task in successive passes; an error in the user's code does not end a pass."""

    task: Task
    batches: tuple[UserBatch, ...]
    losses: dict[str, tuple[float, ...]] = field(default_factory=dict)
    failed: str = ""
    _kind: str = ""
    _right: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _outputs: dict[str, list[Tensor | None]] = field(default_factory=dict)

    def begin(self, kind: str) -> None:
        self._kind = kind
        self.losses[kind], self._right[kind], self._outputs[kind] = (), [], []

    def __call__(self, model: nn.Module, args: Any, kwargs: Any, number: int) -> None:
        batch = self.batches[number]
        try:
            output, loss = self._output_and_loss(batch)
        except Exception as error:  # from the user's code; earlier measurements count
            cause = error.__cause__ or error
            said = (str(cause).strip() or "without a text").splitlines()[0]
            said = said if isinstance(cause, NormwiseError) else f"{type(cause).__name__}: {said}"
            self.failed = self.failed or f"batch {number} (counted from 0): {said}"
            return
        if loss is not None:
            self.losses[self._kind] = (*self.losses[self._kind], float(loss.detach()))
        if (right := self.task.right(output, batch)) is not None:
            self._right[self._kind].append(right)
        scores = output_tensor(output)
        is_scores = isinstance(scores, Tensor) and scores.is_floating_point() and scores.dim() > 0
        self._outputs[self._kind].append(scores[:_COMPARED].detach().double().cpu() if is_scores else None)

    def _output_and_loss(self, batch: UserBatch) -> tuple[Any, Tensor | None]:
        if self.task.calls_model:
            # The loss may make a backward pass, but there are no gradients here.
            with SkipBackward():
                return self.task.run(batch)
        return self.task.run(batch)

    def outcomes(self) -> dict[str, ProbeOutcome]:
        return {kind: self._outcome(kind) for kind in ("running", "batch", "exact")}

    def _outcome(self, kind: str) -> ProbeOutcome:
        losses, right = self.losses.get(kind, ()), self._right.get(kind, [])
        # The mean over an empty batch is NaN.
        weighted = [(one.size, loss) for one, loss in zip(self.batches, losses, strict=False) if one.size]
        samples = sum(size for size, _ in weighted)
        loss = sum(size * loss for size, loss in weighted) / samples if weighted else math.nan
        seen = sum(count for _, count in right)
        accuracy = sum(count for count, _ in right) / seen if seen else math.nan
        return ProbeOutcome(loss, accuracy, self._distance(kind))

    def _distance(self, kind: str) -> float:
        pairs = [
            (one, exact)
            for one, exact in zip(self._outputs.get(kind, []), self._outputs.get("exact", []), strict=False)
            if one is not None and exact is not None and one.shape == exact.shape
        ]
        if not pairs:
            return math.nan
        # Sequences of other lengths have outputs of other shapes.
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for _, exact in pairs:
            by_shape.setdefault(exact.shape[1:], []).append(exact)
        variances = [_scatter(torch.cat(outputs)) for outputs in by_shape.values()]
        numbers = [sum(output.numel() for output in outputs) for outputs in by_shape.values()]
        if sum(numbers) < 2:
            return math.nan
        of_all = sum(number * variance for number, variance in zip(numbers, variances, strict=True))
        spread = (of_all / sum(numbers)) ** 0.5
        error = torch.cat([(one - exact).flatten() for one, exact in pairs]).square().mean().sqrt()
        return error.item() / max(spread, 1e-30)


def _scatter(outputs: Tensor) -> float:
    """Return the mean over outputs of the variance over samples; for a single sample, the variance of its outputs."""
    if outputs.numel() < 2:
        return 0.0
    if len(outputs) == 1:
        return outputs.var().item()
    return outputs.var(0, correction=0).mean().item()
