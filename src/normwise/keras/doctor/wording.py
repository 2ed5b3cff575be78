"""Sentences that are common to several rules."""

from collections.abc import Iterable

from normwise.keras.doctor.facts.facts import Facts
from normwise.records import Symptom


def calibration(facts: Facts, symptoms: Iterable[Symptom]) -> str:
    """Return the call that gives a model exact statistics, also in frozen layers if a symptom names one."""
    frozen = any(not facts.norms[symptom.path].trainable for symptom in symptoms)
    return f"normwise.keras.calibrate(model, data{', include_frozen=True' if frozen else ''})"


def cost_of_statistics(facts: Facts) -> str:
    """Return evaluation with moving and with exact statistics as text; empty if nothing was measured."""
    return facts.probe.cost_of_statistics if "data" in facts.has else ""


def layer_code(path: str) -> str:
    """Return code that gets a layer of ``model`` by its path."""
    return "model" + "".join(f".get_layer({name!r})" for name in path.split("/"))


def paths_code(symptoms: Iterable[Symptom]) -> str:
    """Return code that is a tuple of the layers."""
    layers = ", ".join(layer_code(path) for path in dict.fromkeys(symptom.path for symptom in symptoms))
    return f"({layers},)"


def counted(symptoms: Iterable[Symptom]) -> str:
    """Return ``"a BN layer"``, or the number of layers."""
    count = len(list(symptoms))
    return "a BN layer" if count == 1 else f"{count} BN layers"
