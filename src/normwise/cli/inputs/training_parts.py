"""Losses and optimisers that ``--loss`` and ``--optimizer`` name."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from normwise.cli.inputs.cli_target import CliTarget
from normwise.cli.inputs.user_code import call_without_arguments, named_object, running
from normwise.errors import ArgumentError

_OPTIMIZER = (
    "expected an optimizer of torch.optim, or a function that makes it from the model: def optimizer(model)"
)


def named_loss(name: str) -> Callable[..., Any]:
    """Return the loss that ``file.py:name`` names: a function, a module, or a function or class that makes one.

    Raises:
        ArgumentError: there is no such loss.
        DataError: the user's code raises an exception.
    """
    found = named_object(name)
    # A loss takes arguments, so a callable without any makes one.
    if isinstance(found, type) or (
        callable(found) and not isinstance(found, nn.Module) and _count(found) == 0
    ):
        found = call_without_arguments(name, found)
    if not callable(found):
        raise ArgumentError(
            f"--loss {name} is of type {type(found).__name__}; expected a function or a module: loss(output, target), "
            "or loss(model, batch)"
        )
    return found


def named_optimizer(name: str, target: CliTarget) -> Optimizer:
    """Return the optimiser that ``file.py:name`` names; a function with an argument makes it from the model.

    Raises:
        ArgumentError: there is no such optimiser, or it has no parameter of the model.
        DataError: the user's code raises an exception.
    """
    found = named_object(name)
    if isinstance(found, type):
        raise ArgumentError(f"--optimizer {name} is a class; {_OPTIMIZER}")
    if callable(found) and not isinstance(found, Optimizer):
        if _count(found) == 0:
            found = call_without_arguments(name, found)
        else:
            with running(name):
                found = found(target.model)
    if not isinstance(found, Optimizer):
        raise ArgumentError(f"--optimizer {name} gives {type(found).__name__}; {_OPTIMIZER}")
    held = {id(parameter) for group in found.param_groups for parameter in group["params"]}
    if target.made and not any(id(parameter) in held for parameter in target.model.parameters()):
        raise ArgumentError(
            f"--optimizer {name} has none of the parameters of {target.name}, which was built again for this "
            "command; write a function that makes it from its argument: def optimizer(model)"
        )
    return found


def _count(function: Any) -> int | None:
    """Return the number of arguments that a function takes; None if unknown."""
    try:
        return len(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
