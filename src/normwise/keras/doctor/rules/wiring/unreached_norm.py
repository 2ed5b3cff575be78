"""BN106: a BN layer that the data never reach."""

from collections.abc import Iterable, Sequence

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Severity, Symptom

_NEW = "its statistics are those of a new layer"
_NO_WEIGHTS = "it was never called, so that it has no weights"


class UnreachedNorm(Rule):
    """A BN layer that the data never reach."""

    code = "BN106"
    name = "unreached-norm"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer that neither evaluation nor a forward pass for training calls. It is a note if the layer has "
        "statistics, which show that something called it before."
    )
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that nothing calls."""
        probe = facts.probe
        if probe.failed or facts.training_pass.failed:
            return
        reached = {*probe.moments, *probe.reasons, *facts.training_pass.calls}
        for path, norm in facts.norms.items():
            if path in reached:
                continue
            new = norm.trainable and (norm.is_initial or norm.mean is None)
            parameters = sum(len(value) for value in (norm.gamma, norm.beta) if value is not None)
            yield found_in(
                facts,
                path,
                measured("calls", 0),
                measured("unused parameters", parameters),
                detail=(_NO_WEIGHTS if norm.mean is None else _NEW) if new else "",
                badness=float(new),
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a note if all were used before."""
        return "warning" if any(symptom.detail for symptom in symptoms) else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say that nothing calls them."""
        return "The data never reach a BN layer: neither evaluation nor a training step calls it."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Call it or remove it."""
        names = ", ".join(symptom.path for symptom in symptoms)
        return f"# call {names} where it was meant to be called, or build the model without it"
