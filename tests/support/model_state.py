"""The whole state and the outputs of a model, to compare before and after an operation."""

import copy
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.support.model_kinds import Meter
from tests.support.operations import Example


def state_of(model: nn.Module) -> dict[str, Any]:
    """Return all of a model's state, as things that can be compared."""
    found: dict[str, Any] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        found[f"{path}: class"] = type(module)
        for name, value in vars(module).items():
            found[f"{path}: {name}"] = (id(value), frozen(value))
    for name, parameter in model.named_parameters():
        found[f"{name}: gradient"] = (
            parameter.requires_grad,
            id(parameter.grad),
            frozen(parameter.grad),
        )
    return found


def frozen(value: Any) -> Any:
    """Return the contents of a value, as something that stays what it is."""
    if isinstance(value, Tensor):
        return (id(value), str(value.dtype), value.stride(), value.detach().flatten().tolist())
    if isinstance(value, nn.Module):
        return id(value)
    if isinstance(value, dict):
        return [(key, id(item), frozen(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [frozen(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, Meter):
        return frozen(vars(value))
    return value


def outputs_of(model: nn.Module, example: Example) -> Tensor:
    """Evaluate a copy of a model on a copy of an example."""
    model = copy.deepcopy(model)
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        if isinstance(example, dict):
            return model(**{name: value.clone() for name, value in example.items()})
        return model((example[0] if isinstance(example, tuple) else example).clone())
