"""BN301: BN layers in training where the model is to be evaluated."""

from collections.abc import Iterable, Sequence

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.wired_training import wired_training_holds
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Severity, Symptom

_STUCK = "model(x, training=False) calls it with training=True"
_WIRED = "training=True was passed in the call that built the model"


class LeftInTraining(Rule):
    """BN layers in training where the model is to be evaluated."""

    code = "BN301"
    name = "left-in-training"
    severity = "error"
    needs = ("model",)
    finds = (
        "BN layers that are called with training=True although the model is evaluated, which is an error; and "
        "training=True in the call of a layer that built a functional model, which is a warning: model(x) obeys it, "
        "and predict overrides it."
    )
    safety = "manual"
    supersedes = ("BN302",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that evaluation calls for training, and those of such a wiring."""
        stuck = facts.probe.in_training if "data" in facts.has else frozenset()
        for path in stuck:
            moments = facts.probe.moments.get(path)
            scatter = () if moments is None or len(moments.calls) < 2 else (moments.mean_noise,)
            numbers = [measured("means of its batches scatter by", each.mean(), "σ") for each in scatter]
            yield found_in(facts, path, *numbers, detail=_STUCK, badness=1.0)
        wired = dict.fromkeys(op.path for op in facts.wiring.norms() if op.training is True)
        for path in wired:
            if path not in stuck and facts.norms[path].trainable:
                yield found_in(facts, path, detail=_WIRED)

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a warning where ``predict`` and ``evaluate`` override what is wired."""
        is_stuck = any(symptom.detail == _STUCK for symptom in symptoms)
        return "error" if is_stuck or wired_training_holds() else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say which of the two it is."""
        layers = "a BN layer" if len(symptoms) == 1 else f"{len(symptoms)} BN layers"
        if self.severity_of(facts, symptoms) == "error":
            return f"Evaluation leaves {layers} in training mode, so that it normalises by the batch."
        return (
            f"training=True is wired into the call of {layers}: model(x) normalises by the batch and moves the "
            "statistics, while predict and evaluate, which pass training=False to the whole model, do not."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Leave it out."""
        if self.severity_of(facts, symptoms) == "error":
            return "x = self.norm(x, training=training)  # in call(self, x, training=None); or without the argument"
        return "x = norm(x)  # without training=, which fit, evaluate and predict then pass"
