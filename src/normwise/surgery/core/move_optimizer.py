"""Transfer of an optimiser to the parameters that a model has after surgery."""

from collections.abc import Mapping
from typing import Any, cast

from torch import nn
from torch.optim import Optimizer

from normwise.errors import ArgumentError

_NONE: Mapping[nn.Parameter, Any] = {}


def move_optimizer(
    optimizer: Optimizer,
    moved: Mapping[nn.Parameter, nn.Parameter | None],
    added: Mapping[nn.Parameter, nn.Parameter] = _NONE,
    *,
    names: Mapping[nn.Parameter, str] = _NONE,
) -> None:
    """Make an optimiser train other parameters, in place; do all of it, or nothing.

    A new parameter takes the position of the old one in its group, and its state, such as momentum, so that
    training continues the same. Groups and their settings stay, also empty ones, since schedulers count them.

    Args:
        optimizer: Optimiser of ``torch.optim``, or one with the same ``param_groups`` and ``state``.
        moved: Replacement of each parameter; None drops the parameter and its state. Parameters that the optimiser
            doesn't have are ignored.
        added: New parameters, each with a parameter whose group it joins. If the optimiser doesn't have the latter
            afterwards, it doesn't take the new one either. New parameters start without state.
        names: New names of parameters, if the optimiser was made of named parameters. All others keep their names.

    Raises:
        ArgumentError: a parameter would occur twice, has another shape, dtype or device than the one that it
            replaces, or has no name while all others have one.
    """
    groups: list[list[tuple[nn.Parameter, str | None]]] = []
    for group in optimizer.param_groups:
        called = group.get("param_names") or [None] * len(group["params"])
        members = []
        for parameter, name in zip(group["params"], called, strict=True):
            new = moved.get(parameter, parameter)
            if new is not None:
                _check_alike(parameter, new, name)
                members.append((new, name if name is None else names.get(new, name)))
        groups.append(members)
    home = {parameter: number for number, members in enumerate(groups) for parameter, _ in members}
    for parameter, companion in added.items():
        if (number := home.get(companion)) is not None:
            named = "param_names" in optimizer.param_groups[number]
            if named and parameter not in names:
                raise ArgumentError(
                    f"the optimiser names its parameters, and the new one of shape {tuple(parameter.shape)} has no "
                    "name; pass it in names="
                )
            groups[number].append((parameter, names[parameter] if named else None))
    _check_once([parameter for members in groups for parameter, _ in members])
    states = cast("dict[nn.Parameter, Any]", optimizer.state)
    state = {new: kept for old, kept in states.items() if (new := moved.get(old, old)) is not None}
    for group, members in zip(optimizer.param_groups, groups, strict=True):
        # In place: LBFGS and optimisers around others hold the same lists and the same dict.
        group["params"][:] = [parameter for parameter, _ in members]
        if "param_names" in group:
            group["param_names"][:] = [name for _, name in members]
    states.clear()
    states.update(state)


def _check_alike(old: nn.Parameter, new: nn.Parameter, name: str | None) -> None:
    for what in ("shape", "dtype", "device"):
        if getattr(old, what) != getattr(new, what):
            raise ArgumentError(
                f"the parameter {name or f'of shape {tuple(old.shape)}'} of the optimiser can't be replaced by one of "
                f"{what} {getattr(new, what)}: its state is for {getattr(old, what)}. Drop it, and add the other one"
            )


def _check_once(parameters: list[nn.Parameter]) -> None:
    seen: set[nn.Parameter] = set()
    for parameter in parameters:
        if parameter in seen:
            raise ArgumentError(
                f"the optimiser would have a parameter of shape {tuple(parameter.shape)} twice; give each parameter "
                "once, and only ones that it doesn't have already"
            )
        seen.add(parameter)
