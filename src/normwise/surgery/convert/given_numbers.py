"""ε and momentum that a conversion sets on layers."""

from collections.abc import Mapping
from typing import Any

#: Momentum above which statistics are hardly more than those of the last batch.
_LARGE = 0.5


def set_on(layer: Any, given: Mapping[str, Any]) -> list[str]:
    """Set ε and momentum of BN, if given, and return the changes for the report."""
    notes = []
    for name in ("eps", "momentum"):
        if name in given and given[name] != getattr(layer, name):
            notes.append(f"its {name} is {given[name]}, and was {getattr(layer, name)}")
            setattr(layer, name, given[name])
            if name == "momentum" and (given[name] or 0) > _LARGE:
                notes.append("that is the weight of the new batch: Keras's 0.99 is 0.01 here")
    return notes
