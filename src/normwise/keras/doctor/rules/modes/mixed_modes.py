"""BN302: BN layers in evaluation mode while the model is trained."""

from collections.abc import Iterable, Sequence

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.compiled import unfrozen_since_compile
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Symptom

_CALLED = "called with training=False"
_COMPILED = "trainable again since the model was compiled"


class MixedModes(Rule):
    """BN layers in evaluation mode while the model is trained."""

    code = "BN302"
    name = "mixed-modes"
    severity = "warning"
    needs = ("model",)
    finds = (
        "Some but not all BN layers that are called with training=False while the model is trained, although they "
        "are trainable; and layers that were made trainable after the training step was compiled, which does not "
        "change that step."
    )
    safety = "manual"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers in another mode than the model."""
        for path in unfrozen_since_compile(facts):
            yield found_in(facts, path, detail=_COMPILED, badness=1.0)
        left = facts.in_evaluation
        # If all of a model are, that is on purpose.
        if any(norm.trainable and path not in left for path, norm in facts.norms.items() if norm.channels):
            for path in left:
                if facts.norms[path].parameters_trainable:
                    parameters = measured("parameters of it that are trained", _parameters(facts, path))
                    yield found_in(facts, path, parameters, detail=_CALLED)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the layers."""
        count, total = len(symptoms), len(facts.norms)
        layers = "its BN layer" if total == 1 else f"{count} of its {total} BN layers"
        verb = "is" if count == 1 else "are"
        if symptoms[0].detail == _COMPILED:
            return f"{layers} {verb} {_COMPILED}: the next fit leaves out γ and β, or fails."
        return f"The model is in training mode, but {layers} {verb} in evaluation mode although γ or β are trained."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Put the whole model into one mode."""
        if symptoms[0].detail == _COMPILED:
            return "model.compile(...)  # again, as before, after every change of trainable"
        return "x = self.norm(x)  # without training=False; or norm.trainable = False, to keep the statistics"


def _parameters(facts: Facts, path: str) -> int:
    norm = facts.norms[path]
    return sum(len(value) for value in (norm.gamma, norm.beta) if value is not None)
