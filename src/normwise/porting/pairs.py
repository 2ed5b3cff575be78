"""Pairs of layers of the source and of the target."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from normwise.errors import ArgumentError, ModelError
from normwise.porting.layers.layer import Layer, named

By = Literal["order", "name"] | Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two layers that should compute the same.

    Attributes:
        source: Layer with the weights.
        target: Layer that gets the weights.
        kind: Kind of both layers.
    """

    source: Any
    target: Any
    kind: str

    def __str__(self) -> str:
        """Return both layers' names in messages."""
        return f"{named(self.source)} and {named(self.target)}"


def pairs_of(source: Sequence[Layer], target: Sequence[Layer], by: By) -> list[Pair]:
    """Return pairs of layers of one kind, in the order of the source.

    Args:
        source, target: Layers in the order of their calls, or else of their registration.
        by: Rule for pairing: ``"order"``; ``"name"``, ignoring case and word separators; or a mapping from paths of
            the source to those of the target.

    Raises:
        ModelError: the numbers of layers differ, a layer has no counterpart, or kinds differ.
        ArgumentError: the mapping names a layer that does not exist.
    """
    if not source or not target:
        raise ModelError(f"the {'target' if source else 'source'} has no layers with weights")
    if by == "order":
        found = _by_order(source, target)
    elif by == "name":
        found = _by_name(source, target)
    elif isinstance(by, Mapping):
        found = _by_mapping(source, target, by)
    else:
        raise ArgumentError(
            f"by={by!r}; expected 'order', 'name' or a mapping of the source's paths to the target's"
        )
    return [_pair(*two) for two in found]


def _pair(source: Layer, target: Layer) -> Pair:
    if None not in (source.kind, target.kind) and source.kind != target.kind:
        raise ModelError(f"{_position(source, target)}: layers of other kinds, whose weights can't be moved")
    kind = source.kind or target.kind
    if kind is None:
        raise ModelError("a state dict was given twice; one of the two must be a model")
    return Pair(source, target, kind)


def _position(source: Layer, target: Layer) -> str:
    return f"{named(source)} of the source meets {named(target)} of the target"


def _by_order(source: Sequence[Layer], target: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    both = list(zip(source, target, strict=False))
    if len(source) == len(target):
        return both
    unlike = next(((a, b) for a, b in both if None not in (a.kind, b.kind) and a.kind != b.kind), None)
    if unlike is not None:
        first = f"the first that don't fit: {_position(*unlike)}"
    else:
        longer, which = (source, "source") if len(source) > len(target) else (target, "target")
        first = f"{named(longer[len(both)])} of the {which} is the first without a counterpart"
    raise ModelError(
        f"the source has {len(source)} layers with weights and the target {len(target)}; expected as many; {first}"
    )


def _by_name(source: Sequence[Layer], target: Sequence[Layer]) -> list[tuple[Layer, Layer]]:
    theirs = _by_plain_name(target, "target")
    own = _by_plain_name(source, "source")
    missing = [named(layer) for name, layer in own.items() if name not in theirs]
    added = [named(layer) for name, layer in theirs.items() if name not in own]
    if missing or added:
        said = [f"the target has no layer of the name of {', '.join(missing)}"] if missing else []
        said += [f"the source has none of the name of {', '.join(added)}"] if added else []
        raise ModelError(
            f"{'; '.join(said)}; rename layers, or pass by='order', or by={{path in the source: path in the "
            "target}, to say which belong together"
        )
    return [(layer, theirs[name]) for name, layer in own.items()]


def _by_plain_name(layers: Sequence[Layer], which: str) -> dict[str, Layer]:
    found: dict[str, Layer] = {}
    for layer in layers:
        name = re.sub(r"[^0-9a-z]+", "_", layer.path.lower()).strip("_")
        if name in found:
            raise ModelError(
                f"two layers of the {which} have the same name but for case and separators: {named(found[name])} and "
                f"{named(layer)}; pass by={{path in the source: path in the target}}"
            )
        found[name] = layer
    return found


def _by_mapping(
    source: Sequence[Layer], target: Sequence[Layer], by: Mapping[str, str]
) -> list[tuple[Layer, Layer]]:
    own, theirs = ({layer.path: layer for layer in layers} for layers in (source, target))
    for which, layers, given in (("source", own, list(by)), ("target", theirs, list(by.values()))):
        if unknown := [path for path in given if path not in layers]:
            raise ArgumentError(
                f"by={{...}} names {', '.join(map(repr, unknown))}, which the {which} has not; it has "
                f"{', '.join(layers)}"
            )
        if left := [named(layer) for path, layer in layers.items() if path not in given]:
            raise ModelError(
                f"by={{...}} leaves out {', '.join(left)} of the {which}; expected all layers with weights"
            )
        if len(set(given)) < len(given):
            raise ArgumentError(f"by={{...}} names a layer of the {which} twice")
    return [(layer, theirs[by[path]]) for path, layer in own.items()]
