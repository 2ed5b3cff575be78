"""BN102: a BN layer whose values are the predictions of the model."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.neighbours import is_linear, makes_probabilities
from normwise.keras.doctor.facts.model.wiring import Op
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Symptom

#: Losses of classification, whose second argument is a prediction.
_CLASSIFICATION = ("crossentropy", "cross_entropy", "hinge")


class NormOnOutput(Rule):
    """A BN layer whose values are the predictions of the model."""

    code = "BN102"
    name = "norm-on-output"
    severity = "warning"
    needs = ("model",)
    finds = (
        "A BN layer whose values are the predictions of the model: at most turned into probabilities, or compared "
        "with the targets. Models whose outputs are features are left out."
    )
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the BN layers that make predictions."""
        found = set()
        for op in facts.wiring.norms():
            if op.path in found or not is_linear(op.layer):
                continue
            end = _output_after(op)
            if end is None or (end is op and not _is_prediction(facts, op)):
                continue
            found.add(op.path)
            norm = facts.norms[op.path]
            numbers = [measured("outputs", norm.channels)]
            if norm.gamma is not None:
                scale = float(np.abs(norm.gamma).mean())
                numbers.append(measured("mean |γ|, their standard deviation in a batch,", scale))
            detail = f"{end.layer.name} turns its values into probabilities" if end is not op else ""
            yield found_in(facts, op.path, *numbers, detail=detail, badness=norm.channels)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what the layer does to predictions."""
        return (
            "The predictions of the model are the values of a BN layer, which forces their mean and scale over each "
            "training batch to β and |γ|."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Remove it."""
        names = ", ".join(symptom.path for symptom in symptoms)
        return (
            f"# before training: build the model without {names}, with a bias in the layer before.\n"
            "# In a trained model, with the same outputs in evaluation:\n"
            "model, report = normwise.keras.fold(model, batch)"
        )


def _output_after(op: Op) -> Op | None:
    """Return the call that makes the scores from a layer's values; None if something else is between."""
    if op.is_score:
        return op
    return next((each for each in op.consumers if each.is_score and makes_probabilities(each.layer)), None)


def _is_prediction(facts: Facts, op: Op) -> bool:
    """Return whether the output is compared with targets: classes, or numbers of the same shape."""
    if any(name in _name_of(facts.task.loss) for name in _CLASSIFICATION):
        return True
    targets = [batch.target for batch in facts.batches.batches] if "data" in facts.has else []
    return any(
        isinstance(target, np.ndarray) and target.ndim == len(op.shape) and target.shape[1:] == op.shape[1:]
        for target in targets
    )


def _name_of(loss: Any) -> str:
    name = getattr(loss, "name", None) or getattr(loss, "__name__", "")
    return f"{name} {type(loss).__name__ if isinstance(loss, keras.losses.Loss) else ''}".lower()
