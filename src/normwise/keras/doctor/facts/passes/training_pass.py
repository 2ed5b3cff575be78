"""One forward pass in training mode, on the first batch: inputs of BN layers, with dropout on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from normwise.keras.doctor.facts.data.user_batches import UserBatch
from normwise.keras.doctor.facts.model.norm_facts import Channels, NormFacts
from normwise.keras.doctor.facts.passes.moments import Moments, sample_scatter
from normwise.keras.doctor.facts.passes.observe import NormCall, Statistics, observed
from normwise.keras.doctor.facts.passes.task import Task
from normwise.keras.surgery.error_text import error_text
from normwise.keras.surgery.process_state import unchanged


@dataclass(frozen=True, eq=False)
class TrainingCall:
    """One call of a BN layer in the pass.

    Attributes:
        moments: Moments of its input.
        samples: Number of samples.
        scatter: Unbiased variance of the samples' own means, ``(C,)``; NaN for one sample.
        by_batch: Whether the layer was called in training mode and is trainable, so that it normalises by the
            batch.
    """

    moments: Moments
    samples: int
    scatter: Channels
    by_batch: bool


@dataclass(frozen=True)
class TrainingPass:
    """Calls of each layer.

    Attributes:
        calls: Calls of each layer by path, in order.
        failed: Reason why the model could not be run; empty if it could.
    """

    calls: Mapping[str, list[TrainingCall]] = field(default_factory=dict)
    failed: str = ""

    def by_batch(self, path: str) -> list[TrainingCall]:
        """Return the calls of a layer that normalise by the batch."""
        return [call for call in self.calls.get(path, ()) if call.by_batch]


def run_training_pass(task: Task, norms: Mapping[str, NormFacts], batch: UserBatch) -> TrainingPass:
    """Call the model in training mode, and leave it and the random states unchanged."""
    calls: dict[str, list[TrainingCall]] = {}

    def visit(call: NormCall) -> Statistics:
        found = Moments.of(call.values, call.real)
        calls.setdefault(call.path, []).append(
            TrainingCall(found, len(call.values), sample_scatter(call.values), call.training)
        )
        return (found.mean, found.variance) if call.training and found.count else None

    failed = ""
    with unchanged(task.model), observed(norms, visit, {}):
        try:
            task.outputs(batch, training=True)
        except Exception as error:  # of the user's code
            failed = f"{type(error).__name__}: {error_text(error)}"
    return TrainingPass(calls, failed)
