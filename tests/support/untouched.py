"""All state of a model, its optimiser, its loss and the random numbers, to be compared bit for bit."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_always_called",
)


def everything_of(model: nn.Module, optimizer: Optimizer | None = None, loss: Any = None) -> Any:
    """Return the state, in values that are equal where all bits are."""
    modules = [model, *([loss] if isinstance(loss, nn.Module) else [])]
    return (
        [_module(path, module) for root in modules for path, module in root.named_modules()],
        None if optimizer is None else _plain(optimizer.state_dict()),
        _bits(torch.get_rng_state()),
        str(np.random.get_state()),  # noqa: NPY002
        random.getstate(),
        torch.is_grad_enabled(),
    )


def _module(path: str, module: nn.Module) -> Any:
    tensors = [*module._parameters.items(), *module._buffers.items()]
    return (
        path,
        type(module),
        module.training,
        sorted(vars(module)),
        [(name, id(tensor), _bits(tensor)) for name, tensor in tensors],
        [(name, parameter.requires_grad, id(parameter.grad), _bits(parameter.grad))
         for name, parameter in module._parameters.items() if parameter is not None],
        [(hooks, list(vars(module)[hooks])) for hooks in _HOOKS],
        {name: value for name, value in vars(module).items() if isinstance(value, (int, float, str, bool))},
    )  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _bits(value)
    if isinstance(value, dict):
        return [(key, _plain(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _bits(tensor: Tensor | None) -> Any:
    if tensor is None:
        return None
    flat = tensor.detach().cpu().contiguous()
    return str(tensor.dtype), tuple(tensor.shape), flat.flatten().view(torch.uint8).numpy().tobytes()
