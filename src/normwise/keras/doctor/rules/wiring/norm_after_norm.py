"""BN103: a BN layer directly after another."""

from collections.abc import Iterable, Sequence

import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.neighbours import is_linear, is_norm
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Symptom


class NormAfterNorm(Rule):
    """A BN layer directly after another."""

    code = "BN103"
    name = "norm-after-norm"
    severity = "warning"
    needs = ("model",)
    finds = "A BN layer whose input is the output of another BN layer of the same axis, with nothing between."
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the second layers."""
        found = set()
        for op in facts.wiring.norms():
            if len(op.inputs) != 1 or op.path in found:
                continue
            (first,) = op.inputs
            rank = len(op.shape)
            if (
                not is_norm(first.layer)
                or not is_linear(first.layer)
                or first.layer is op.layer
                or first.layer.axis % rank != op.layer.axis % rank
            ):
                continue
            found.add(op.path)
            numbers = []
            statistics = facts.probe.exact_statistics.get(op.path) if "data" in facts.has else None
            if statistics is not None:
                mean, variance = statistics
                numbers = [
                    measured("mean of its input up to", np.abs(mean).max()),
                    measured("standard deviation of its input", np.sqrt(variance.mean())),
                ]
            yield found_in(
                facts, op.path, *numbers, detail=f"after {type(first.layer).__name__} {first.path!r}"
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what the second one does."""
        return "A BN layer directly follows another, so that it cancels γ and β of the first."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Remove the second one."""
        names = ", ".join(symptom.path for symptom in symptoms)
        return f"# build the model without {names}, or with what was forgotten before it, and train again"
