"""The three-way probe: a model in evaluation with moving, batch and exact statistics, on the same batches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normwise.judgement.three_passes import ThreePasses
from normwise.keras.doctor.facts.data.user_batches import UserBatch
from normwise.keras.doctor.facts.model.norm_facts import Channels, NormFacts
from normwise.keras.doctor.facts.passes.moments import BatchMoments, Moments
from normwise.keras.doctor.facts.passes.observe import NormCall, Statistics, observed
from normwise.keras.doctor.facts.passes.task import Task, right_answers, scores_of
from normwise.keras.surgery.error_text import error_text
from normwise.keras.surgery.process_state import unchanged
from normwise.records import ProbeOutcome

#: Number of samples of a batch whose outputs are compared.
_COMPARED = 16


@dataclass(frozen=True)
class Probe(ThreePasses):
    """Outcomes of a model with three kinds of statistics, and measurements of its layers' inputs.

    Attributes:
        moments: Moments of each layer's inputs in the second pass, by path, if there are any.
        exact_statistics: Exact mean and variance of each layer, ``(C,)``, with the layer's kind of variance.
        order: Paths of the layers in the order of their first calls.
        in_training: Paths of the layers that were called in training mode, though the model was not.
        reasons: Reasons why a layer was not measured, by path.
        failed: Reason why the model could not be run; empty if it could.
    """

    moments: Mapping[str, BatchMoments]
    exact_statistics: Mapping[str, tuple[Channels, Channels]]
    order: tuple[str, ...]
    in_training: frozenset[str]
    reasons: Mapping[str, str]
    failed: str = ""


def run_probe(task: Task, norms: Mapping[str, NormFacts], batches: tuple[UserBatch, ...]) -> Probe:
    """Make the three passes, and leave the model and the random states unchanged."""
    run = _Run(task, batches)
    moments: dict[str, BatchMoments] = {}
    exact: dict[str, tuple[Channels, Channels]] = {}
    in_training: set[str] = set()
    reasons: dict[str, str] = {}

    def look(call: NormCall) -> Statistics:
        if call.training:
            # It would also normalise by the batch in evaluation, whatever the moving statistics are.
            in_training.add(call.path)
            return _by_batch(call)
        return None

    def measure(call: NormCall) -> Statistics:
        moments.setdefault(call.path, BatchMoments()).add(call.values, call.real, call.dtype)
        return _by_batch(call) if norms[call.path].trainable else None

    def by_exact(call: NormCall) -> Statistics:
        return exact.get(call.path)

    with unchanged(task.model):
        with observed(norms, look, reasons):
            run.whole_pass("running")
        with observed(norms, measure, reasons):
            run.whole_pass("batch")
        exact.update(_exact(moments, norms))
        with observed(norms, by_exact, reasons):
            run.whole_pass("exact")
    return Probe(
        **{kind: run.outcome(kind) for kind in ("running", "batch", "exact")},
        losses=run.losses,
        samples=sum(batch.size for batch in batches),
        moments={path: found for path, found in moments.items() if found.calls or found.not_finite},
        exact_statistics=exact,
        order=tuple(moments),
        in_training=frozenset(in_training),
        reasons=reasons,
        failed=run.failed,
    )


def _by_batch(call: NormCall) -> Statistics:
    found = Moments.of(call.values, call.real)
    return (found.mean, found.variance) if found.count else None


def _exact(
    moments: Mapping[str, BatchMoments], norms: Mapping[str, NormFacts]
) -> dict[str, tuple[Channels, Channels]]:
    found = {}
    for path, held in moments.items():
        if not held.calls or held.together.count < 2:
            continue
        together = held.together
        unbiased = getattr(norms[path].layer, "unbiased_moving_variance", False)
        bessel = together.count / (together.count - 1) if unbiased else 1.0
        found[path] = together.mean, together.variance * bessel
    return found


@dataclass
class _Run:
    """Runs of the task in successive passes; an error in the user's code does not end a pass."""

    task: Task
    batches: tuple[UserBatch, ...]
    losses: dict[str, tuple[float, ...]] = field(default_factory=dict)
    failed: str = ""
    _right: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _outputs: dict[str, list[NDArray[Any] | None]] = field(default_factory=dict)

    def whole_pass(self, kind: str) -> None:
        losses, right, outputs = [], [], []
        for number, batch in enumerate(self.batches):
            try:
                found = self.task.outputs(batch, training=False)
                loss = self.task.loss_of(batch, found)
            except Exception as error:  # from the user's code; earlier measurements count
                said = f"batch {number} (counted from 0): {type(error).__name__}: {error_text(error)}"
                self.failed = self.failed or said
                continue
            if self.task.loss is not None and batch.target is not None:
                losses.append(loss)
            scores = scores_of(found)
            if (count := right_answers(scores, batch.target)) is not None:
                right.append(count)
            outputs.append(None if scores is None else scores[:_COMPARED])
        self.losses[kind], self._right[kind], self._outputs[kind] = tuple(losses), right, outputs

    def outcome(self, kind: str) -> ProbeOutcome:
        losses, right = self.losses[kind], self._right[kind]
        weighted = [(one.size, loss) for one, loss in zip(self.batches, losses, strict=False)]
        samples = sum(size for size, _ in weighted)
        loss = sum(size * loss for size, loss in weighted) / samples if samples else math.nan
        seen = sum(count for count, _ in right)
        accuracy = sum(count for _, count in right) / seen if seen else math.nan
        return ProbeOutcome(loss, accuracy, self._distance(kind))

    def _distance(self, kind: str) -> float:
        pairs = [
            (one, exact)
            for one, exact in zip(self._outputs[kind], self._outputs["exact"], strict=False)
            if one is not None and exact is not None and one.shape == exact.shape
        ]
        # Sequences of other lengths have outputs of other shapes.
        by_shape: dict[tuple[int, ...], list[NDArray[Any]]] = {}
        for _, exact in pairs:
            by_shape.setdefault(exact.shape[1:], []).append(exact)
        numbers = [sum(output.size for output in outputs) for outputs in by_shape.values()]
        if sum(numbers) < 2:
            return math.nan
        with np.errstate(invalid="ignore", over="ignore"):  # outputs may be infinite or NaN
            variances = [_scatter(np.concatenate(outputs)) for outputs in by_shape.values()]
            spread = (np.dot(numbers, variances) / sum(numbers)) ** 0.5
            errors = np.concatenate([(one - exact).reshape(-1) for one, exact in pairs])
            return float(np.sqrt(np.square(errors).mean()) / max(spread, 1e-30))


def _scatter(outputs: NDArray[Any]) -> float:
    """Return the mean over outputs of the variance over samples; for a single sample, the variance of its outputs."""
    if outputs.size < 2:
        return 0.0
    return float(outputs.var(ddof=1) if len(outputs) == 1 else outputs.var(0).mean())
