"""Parameters of an optimiser, and an optimiser that is left as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from normwise.errors import ArgumentError


@dataclass(frozen=True)
class OptimizerFacts:
    """Groups of an optimiser, seen from a model.

    Attributes:
        optimizer: The optimiser.
        group_of: Number of the group of each parameter of the model that the optimiser has, by name.
        missing: Names of the parameters that need a gradient and that the optimiser lacks.
        foreign: For each group, shapes of the parameters in it that are none of the model's.
    """

    optimizer: Optimizer
    group_of: dict[str, int]
    missing: tuple[str, ...]
    foreign: tuple[tuple[tuple[int, ...], ...], ...]

    def setting(self, parameter: str, name: str, default: float = 0.0) -> float:
        """Return a setting of the group of a parameter, such as ``"weight_decay"``."""
        value = self.optimizer.param_groups[self.group_of[parameter]].get(name, default)
        return float(value) if isinstance(value, (int, float, Tensor)) else default


def optimizer_facts(model: nn.Module, optimizer: Optimizer) -> OptimizerFacts:
    """Return what an optimiser has of a model.

    Raises:
        ArgumentError: it is no optimiser.
    """
    if not isinstance(getattr(optimizer, "param_groups", None), list):
        raise ArgumentError(
            f"expected an optimiser of torch.optim, with param_groups, as optimizer, got {type(optimizer).__name__}"
        )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    held = {
        id(parameter): number
        for number, group in enumerate(optimizer.param_groups)
        for parameter in group["params"]
    }
    return OptimizerFacts(
        optimizer,
        {name: held[key] for key, name in names.items() if key in held},
        tuple(
            name
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and id(parameter) not in held
        ),
        tuple(
            tuple(tuple(parameter.shape) for parameter in group["params"] if id(parameter) not in names)
            for group in optimizer.param_groups
        ),
    )


@contextmanager
def optimizer_kept(optimizer: Optimizer | None) -> Iterator[None]:
    """Put the state and the settings of an optimiser back afterwards, also after an exception."""
    if optimizer is None:
        yield
        return
    groups = [dict(group) for group in optimizer.param_groups]
    state = {parameter: _copied(held) for parameter, held in optimizer.state.items()}
    objects = dict(optimizer.state.items())
    values = [parameter.detach().clone() for group in groups for parameter in group["params"]]
    try:
        yield
    finally:
        for group, before in zip(optimizer.param_groups, groups, strict=True):
            group.clear()
            group.update(before)
        for parameter in [one for one in optimizer.state if one not in objects]:
            del optimizer.state[parameter]
        for parameter, held in objects.items():
            _put_back(held, state[parameter])
            optimizer.state[parameter] = held
        with torch.no_grad():
            for parameter, value in zip(
                (p for group in groups for p in group["params"]), values, strict=True
            ):
                if not torch.equal(parameter, value):
                    parameter.copy_(value)


def _copied(held: Any) -> dict[Any, tuple[Any, Tensor | None]]:
    return {
        key: (value, value.detach().clone() if isinstance(value, Tensor) else None)
        for key, value in held.items()
    }


def _put_back(held: Any, before: dict[Any, tuple[Any, Tensor | None]]) -> None:
    held.clear()
    for key, (value, copy) in before.items():
        if copy is not None and not torch.equal(value, copy):
            with torch.no_grad():
                value.copy_(copy)
        held[key] = value
