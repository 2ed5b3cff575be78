"""BN407: layers of which most channels are switched off by γ, and what that explains."""

from collections.abc import Iterable, Sequence

from normwise.records import Symptom

#: Share of a layer's channels from which it is a warning.
_MOST = 0.5


def layers_off(symptoms: Iterable[Symptom]) -> set[str]:
    """Return the layers of which most is switched off; evidence has how many channels are, and of how many."""
    return {
        symptom.path for symptom in symptoms if symptom.evidence[0].value >= _MOST * symptom.evidence[1].value
    }


def explained_by_layers_off(symptoms: Iterable[Symptom], order: Sequence[str]) -> set[str]:
    """Return the layers that are off and all called behind one, whose inputs are small or constant for that.

    Args:
        symptoms: The layers with channels that are switched off.
        order: Paths of all layers in the order of their calls.
    """
    off = layers_off(symptoms)
    first = next((number for number, path in enumerate(order) if path in off), len(order))
    return {symptom.path for symptom in symptoms} | set(order[first:])
