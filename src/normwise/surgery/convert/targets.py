"""Norms that layers can be converted to, by name."""

import math
from collections.abc import Mapping
from typing import Any

from normwise.errors import ArgumentError
from normwise.layers.known_classes import conversion_families
from normwise.surgery.convert.target import NormTarget
from normwise.surgery.convert.to_batch_norm import ToBatchNorm, ToFrozen
from normwise.surgery.convert.to_per_sample import ToGroupNorm, ToInstanceNorm


def target_named(name: str, groups: int | None, given: Mapping[str, Any]) -> NormTarget:
    """Return the target of a name, with settings that override those of layers.

    Raises:
        ArgumentError: there is no such target, it has no such setting, or a value is invalid.
    """
    known = {"group", "layer", "instance", "frozen", *conversion_families()}
    if name not in known:
        raise ArgumentError(f"expected a norm to convert to, one of {', '.join(sorted(known))}; got {name!r}")
    if groups is not None:
        if name != "group":
            raise ArgumentError(f'groups={groups!r} is for to="group"; {name!r} has none')
        if type(groups) is not int or groups < 1:
            raise ArgumentError(f"expected a positive number of groups, got {groups!r}")
    target = _target(name, groups, given)
    if unknown := sorted(set(given) - target.settings):
        raise ArgumentError(
            f"{name!r} has no setting {', '.join(unknown)}; it has {', '.join(sorted(target.settings))}"
        )
    _check(given)
    return target


def _target(name: str, groups: int | None, given: Mapping[str, Any]) -> NormTarget:
    if name == "frozen":
        return ToFrozen(name, given)
    if name in ("group", "layer"):
        return ToGroupNorm(name, given, 1 if name == "layer" else groups)
    if name == "instance":
        return ToInstanceNorm(name, given)
    return ToBatchNorm(name, given, conversion_families()[name])


def _check(given: Mapping[str, Any]) -> None:
    eps, momentum = given.get("eps", 1e-5), given.get("momentum", 0.1)
    if not _is_number(eps) or not 0 < eps < math.inf:
        raise ArgumentError(f"expected a positive number as eps, got {eps!r}")
    if momentum is not None and (not _is_number(momentum) or not 0 < momentum <= 1):
        raise ArgumentError(
            f"expected a momentum in (0, 1], or None for the plain average of all batches, got {momentum!r}. It is the "
            "weight of the new batch: Keras's 0.99 is 0.01 here"
        )
    if not _is_number(timeout := given.get("timeout", 1.0)) or not 0 < timeout < math.inf:
        raise ArgumentError(f"expected a positive number of seconds as timeout, got {timeout!r}")
    if not isinstance(track := given.get("track_running_stats", True), bool):
        raise ArgumentError(f"expected True or False as track_running_stats, got {track!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
