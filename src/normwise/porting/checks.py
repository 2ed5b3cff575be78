"""Checks that pairs of layers can compute the same, before anything is written."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from normwise.errors import ModelError
from normwise.porting.layers.keras_layers import KerasLayer, opposite
from normwise.porting.layers.layer import CONVERTED, NEUTRAL, named
from normwise.porting.layers.torch_arrays import COUNTER, Arrays
from normwise.porting.pairs import Pair


def checked_arrays(pair: Pair) -> Arrays:
    """Return the weights for the target of a pair.

    If the source lacks γ or a bias, they are the neutral numbers.

    Raises:
        ModelError: a shape differs, the target lacks a weight of the source, or a variance is negative.
    """
    given, held = pair.source.arrays(pair.kind), pair.target.arrays(pair.kind)
    neutral = NEUTRAL[pair.kind]
    arrays: Arrays = {}
    for name, like in held.items():
        if name in given:
            value = given[name]
            if value.shape != like.shape:
                raise ModelError(
                    f"{pair}: {name} has the shape {value.shape} in the source and {like.shape} in the target, in "
                    "torch's layout; expected the same"
                )
            arrays[name] = value
        elif name in neutral:
            arrays[name] = np.full_like(like, neutral[name])
        elif name != COUNTER:
            raise ModelError(f"{pair}: the source has no {name}, which the target needs")
    for name, value in given.items():
        lost = name not in held and name != COUNTER
        if lost and not (name in neutral and (value == neutral[name]).all()):
            raise ModelError(
                f"{pair}: the target has no {name}, which the source has; make it with "
                f"{'scale=True and center=True, or affine=True' if 'norm' in pair.kind else 'a bias'}"
            )
    if pair.kind == "batch_norm":
        _check_statistics(pair, arrays)
    return arrays


def _check_statistics(pair: Pair, arrays: Arrays) -> None:
    mean, variance = arrays["running_mean"], arrays["running_var"]
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        raise ModelError(
            f"{named(pair.source)}: its running statistics are not finite; calibrate the model first"
        )
    if (variance < 0).any():
        swapped = (mean >= 0).all()
        raise ModelError(
            f"{named(pair.source)}: its running variance has negative values, down to {variance.min():.3g}"
            + (", and its running mean has none: the two are swapped" if swapped else "")
        )


def check_settings(pair: Pair, *, convert: bool) -> dict[str, Any]:
    """Return the new ε and momentum for the target of a pair.

    Args:
        pair: Source and target layer.
        convert: Whether those of the target may differ now.

    Raises:
        ModelError: another setting differs, or ε or momentum differ without ``convert``.
    """
    given, held = pair.source.settings(), pair.target.settings()
    changed = {}
    for name in given.keys() & held.keys():
        if _equal(given[name], held[name]):
            continue
        if name in CONVERTED and convert:
            changed[name] = given[name]
            continue
        hint = (
            "set the target's, or pass convert_settings=True"
            if name in CONVERTED
            else "make the target with the same"
        )
        raise ModelError(
            f"{pair}: {_said(name)} is {given[name]} in the source and {held[name]} in the target, as torch "
            f"counts it; {hint}"
        )
    return changed


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-9 * abs(one)
    return one == other


def _said(name: str) -> str:
    return {"eps": "ε", "groups": "the number of groups"}.get(name, name)


def described(pair: Pair, changed: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Return the report's text on changed settings, in the convention of the target."""
    said = []
    for name in CONVERTED:
        if name in changed:
            values = [before.get(name), changed[name]]
            if name == "momentum" and isinstance(pair.target, KerasLayer):
                values = [None if value is None else opposite(value) for value in values]
            said.append(f"{_said(name)} {_number(values[0])} became {_number(values[1])}")
    return ", ".join(said)


def _number(value: Any) -> str:
    return "None" if value is None else f"{value:g}"
