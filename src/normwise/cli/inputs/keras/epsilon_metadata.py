"""ε of each layer of a state dict, kept in the metadata of the safetensors file."""

import json
from pathlib import Path
from typing import Any

import safetensors

from normwise.cli.inputs.state_file import SAFETENSORS
from normwise.errors import DataError, ModelError
from normwise.porting import epsilons_of

#: Metadata key; its value is a JSON object that maps each layer's path to its ε.
_KEY = "normwise.eps"


def epsilon_metadata(epsilons: dict[str, float]) -> dict[str, str]:
    """Return metadata with the ε of each layer."""
    return {_KEY: json.dumps(epsilons)} if epsilons else {}


def read_epsilons(path: Path) -> dict[str, float] | None:
    """Return the ε of each layer by path; None if the file does not have it.

    Raises:
        DataError: the metadata are damaged.
    """
    if path.suffix != SAFETENSORS:
        return None
    with safetensors.safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_KEY)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return {str(name): float(value) for name, value in found.items()}
    except (ValueError, AttributeError, TypeError):
        raise DataError(
            f"{path}: its metadata {_KEY!r} are damaged; expected numbers by path in JSON, got {text[:80]!r}"
        ) from None


def check_epsilons(source: Path, kept: dict[str, float] | None, name: str, network: Any) -> None:
    """Raise ModelError if a network's ε differs from the one stored with its weights."""
    own = epsilons_of(network)
    for path, eps in (kept or {}).items():
        if path in own and abs(own[path] - eps) > 1e-9 * eps:
            raise ModelError(
                f"{name}: {path!r} has ε {own[path]:g}, and {source} was saved with {eps:g}; make the network with the "
                "same"
            )
