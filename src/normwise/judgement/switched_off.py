"""Judgement for BN407: layers with most channels switched off by γ, and the findings that this explains."""

from collections.abc import Iterable, Sequence

from normwise.records import Symptom

#: Share of a layer's switched-off channels from which it is a warning.
_MOST = 0.5


def layers_off(symptoms: Iterable[Symptom]) -> set[str]:
    """Return the layers with most channels switched off; evidence has the number of such channels, and of all."""
    return {
        symptom.path for symptom in symptoms if symptom.evidence[0].value >= _MOST * symptom.evidence[1].value
    }


def explained_by_layers_off(symptoms: Iterable[Symptom], order: Sequence[str]) -> set[str]:
    """Return the switched-off layers, and all layers after one, whose inputs are small or constant for that reason.

    Args:
        symptoms: Symptoms of the layers with switched-off channels.
        order: Paths of all layers in the order of their calls.
    """
    off = layers_off(symptoms)
    first = next((number for number, path in enumerate(order) if path in off), len(order))
    return {symptom.path for symptom in symptoms} | set(order[first:])
