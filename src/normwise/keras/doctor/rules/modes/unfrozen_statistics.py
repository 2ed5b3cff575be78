"""BN303: moving statistics that change in layers that are meant to be frozen."""

from collections.abc import Iterable, Iterator, Sequence

import keras

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.compiled import frozen_since_compile
from normwise.keras.doctor.facts.model.wired_training import wired_training_holds
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import paths_code
from normwise.records import Measured, Severity, Symptom

_COMPILED = "trainable is False since the model was compiled"
_WIRED = "training=False was passed in the call that built the model, and fit overrides it"
_BEFORE = "the layer before it is frozen, and it has no γ and β"
_PARAMETERS = "its γ and β are frozen, but the layer itself is not"


class UnfrozenStatistics(Rule):
    """Moving statistics that change in layers that are meant to be frozen."""

    code = "BN303"
    name = "unfrozen-statistics"
    severity = "warning"
    needs = ("model",)
    finds = (
        "BN layers whose statistics training changes although they are meant to be frozen: layers with "
        "trainable=False set after the training step was compiled; with training=False in the call that built a "
        "functional model, which fit overrides; with γ and β frozen but not the layer; and without γ and β after a "
        "frozen layer."
    )
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the frozen layers whose statistics training changes."""
        found: dict[str, str] = dict.fromkeys(frozen_since_compile(facts), _COMPILED)
        # A model without trained parameters is meant for evaluation.
        if facts.model.trainable_variables:
            for path, why in _meant_to_be_frozen(facts):
                found.setdefault(path, why)
        for path, why in found.items():
            evidence = list(_distance(facts, path))
            parameters = sum(
                len(v) for v in (facts.norms[path].gamma, facts.norms[path].beta) if v is not None
            )
            if parameters and why != _WIRED:
                evidence.append(measured("frozen parameters of the layer", parameters))
            yield found_in(facts, path, *evidence, detail=why, badness=float(why == _COMPILED))

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the layers."""
        layers = "A BN layer is" if len(symptoms) == 1 else f"{len(symptoms)} BN layers are"
        whose = "its" if len(symptoms) == 1 else "their"
        if symptoms[0].detail == _COMPILED and keras.backend.backend() == "jax":
            return f"{layers} frozen since the model was compiled, so the next fit fails."
        return f"{layers} frozen, but training changes {whose} moving statistics."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a note for a wiring whose statistics no training has changed yet."""
        only_wired = all(symptom.detail == _WIRED for symptom in symptoms)
        optimizer = getattr(facts.model, "optimizer", None)
        return "info" if only_wired and optimizer is None else "warning"

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Freeze the layers, and compile again."""
        first = (
            "normwise.keras.freeze(model)"
            if len(symptoms) == len(facts.norms)
            else f"for layer in {paths_code(symptoms)}:\n    layer.trainable = False"
        )
        return f"{first}\nmodel.compile(...)  # again, as before: a compiled step keeps the old setting"


def _meant_to_be_frozen(facts: Facts) -> Iterator[tuple[str, str]]:
    for path, norm in facts.norms.items():
        if not norm.trainable or not norm.channels or path in facts.in_evaluation:
            continue
        calls = facts.wiring.calls_of(path)
        if norm.parameters_trainable is False:
            yield path, _PARAMETERS
        elif calls and all(call.training is False for call in calls) and not wired_training_holds():
            yield path, _WIRED
        elif norm.parameters_trainable is None and calls:
            before = [source.layer for call in calls for source in call.inputs if source.layer is not None]
            weighted = [layer for layer in before if getattr(layer, "weights", None)]
            if weighted and not any(layer.trainable for layer in weighted):
                yield path, _BEFORE


def _distance(facts: Facts, path: str) -> Iterator[Measured]:
    """Yield the distance from the moving mean to the mean that a step moves it towards; nothing if unknown."""
    norm = facts.norms[path]
    calls = facts.training_pass.by_batch(path) if "data" in facts.has else []
    if calls and norm.mean is not None and norm.mean.shape == calls[0].moments.mean.shape:
        deviations = calls[0].moments.variance.clip(1e-30) ** 0.5
        shift = (norm.mean - calls[0].moments.mean) / deviations
        value = float((shift**2).mean() ** 0.5)
        yield measured("a step moves the moving mean towards one at a distance of", value, "σ")
