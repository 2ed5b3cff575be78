"""The state of models at one moment, and the way back to it."""

import pickle
import random
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from normwise.layers.write_tensor import write
from normwise.nn.mixins.change_class import change_class

_CONTAINERS = (list, dict, set, deque)
#: Values that nobody can change, and references that may be dead.
FIXED = frozenset({str, bytes, int, float, complex, bool, type(None), *weakref.ProxyTypes})
#: Objects without attributes that a forward pass would write.
_PASSIVE = (type, FunctionType, MethodType, ModuleType)


class Snapshot:
    """Modules, attributes, hooks, classes, modes, parameters and buffers of models, to be put back.

    Objects keep their identity: a list or dict that was changed gets its items back, and an attribute that was given
    another object gets the first one back. Parameters get their ``requires_grad`` and ``grad`` back. With ``values``,
    tensors, arrays and generators of random numbers that were written into get their values back as well; those of
    parameters only with ``parameters``.
    """

    def __init__(self, *models: nn.Module, values: bool, parameters: bool = True) -> None:
        self._values, self._parameters = values, parameters
        self._seen: set[int] = set()
        self._steps: list[Callable[[], None]] = []
        self._changes: list[Callable[[], bool]] = []
        #: Containers without items, which most of those of a module are, such as its hooks.
        self._empty: list[Any] = []
        for module in dict.fromkeys(module for model in models for module in model.modules()):
            self._keep_module(module)

    def restore(self) -> None:
        """Put everything back, whatever was done meanwhile."""
        for container in self._empty:
            if container:
                container.clear()
        for step in self._steps:
            step()

    def keep_buffers(self, module: nn.Module) -> None:
        """Keep a module's own buffers, and nothing else of it."""
        self._keep_container(module._buffers)

    def is_changed(self) -> bool:
        """Return whether anything was set, or written into, since."""
        return any(self._empty) or any(change() for change in self._changes)

    def _keep_module(self, module: nn.Module) -> None:
        kind = type(module)
        if isinstance(module, torch.jit.ScriptModule):
            # Its attributes are in C++, and can't be exchanged.
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                self._keep(tensor)
            if isinstance(mode := getattr(module, "training", None), bool):  # a frozen one has none
                self._steps.append(partial(setattr, module, "training", mode))
            return
        self._steps.append(partial(change_class, module, kind))
        self._keep_container(vars(module))

    def _keep(self, value: Any, *, inside_object: bool = False) -> None:
        """Keep whatever a forward pass may change in ``value`` without setting an attribute of a module."""
        if type(value) in FIXED or id(value) in self._seen or isinstance(value, nn.Module):
            return
        self._seen.add(id(value))
        if isinstance(value, Tensor):
            if not is_lazy(value):
                self._keep_tensor(value)
        elif isinstance(value, _CONTAINERS) and type(value).__module__ in ("builtins", "collections"):
            self._keep_container(value, inside_object=inside_object)
        elif isinstance(value, tuple):
            for item in value:
                self._keep(item, inside_object=inside_object)
        elif isinstance(value, np.ndarray) and self._values:
            before = value.copy()
            self._steps.append(lambda: np.copyto(value, before) if value.flags.writeable else None)
        elif (generator := _generator_state(value)) is not None:
            state, set_state = generator
            dumped = pickle.dumps(state)
            self._changes.append(lambda: pickle.dumps(_generator_state(value)[0]) != dumped)  # pyright: ignore[reportOptionalSubscript]
            if self._values:
                self._steps.append(lambda: set_state(state))
        elif (
            isinstance(getattr(value, "__dict__", None), dict)
            and not isinstance(value, _PASSIVE)
            and not inside_object
        ):
            # An object of a user's class, such as a counter; objects in it are followed no further.
            self._keep_container(vars(value), inside_object=True)

    def _keep_container(self, container: Any, *, inside_object: bool = False) -> None:
        if not container:
            self._empty.append(container)
            return
        before = dict(container) if isinstance(container, dict) else list(container)
        self._steps.append(partial(_refill, container, before))
        self._changes.append(partial(_has_others, container, before))
        for item in before.values() if isinstance(before, dict) else before:
            self._keep(item, inside_object=inside_object)

    def _keep_tensor(self, tensor: Tensor) -> None:
        if isinstance(tensor, nn.Parameter):
            required, grad = tensor.requires_grad, tensor.grad

            def restore_gradient() -> None:
                if tensor.requires_grad != required:
                    tensor.requires_grad_(required)
                if tensor.grad is not grad:
                    tensor.grad = grad

            self._steps.append(restore_gradient)
        if not tensor.is_inference():
            version = tensor._version
            self._changes.append(lambda: tensor._version != version)
        if self._values and (self._parameters or not isinstance(tensor, nn.Parameter)):
            if tensor.is_inference() == torch.is_inference_mode_enabled():
                before = tensor.detach().clone()
            else:
                with torch.inference_mode(tensor.is_inference()):
                    before = tensor.detach().clone()
            self._steps.append(partial(_write_back, tensor, before))


def _refill(container: Any, before: Any) -> None:
    """Give a container the items back that it had."""
    container.clear()
    if isinstance(container, (dict, set)):
        container.update(before)
    else:
        container.extend(before)


def _has_others(container: Any, before: Any) -> bool:
    """Return whether a container has other items than before, or in another order."""
    now, then = _objects_in(container), _objects_in(before)
    return len(now) != len(then) or any(a is not b for a, b in zip(now, then, strict=True))


def _write_back(tensor: Tensor, before: Tensor) -> None:
    if tensor.shape != before.shape:
        with torch.inference_mode(tensor.is_inference()), torch.no_grad():
            tensor.resize_(before.shape)
    # A tensor that nobody wrote into isn't written into either: autograd would take that for a change.
    if not _are_same(tensor, before):
        write(tensor, before)


def _are_same(first: Tensor, second: Tensor) -> bool:
    try:
        return torch.equal(first, second) or bool(
            ((first == second) | ((first != first) & (second != second))).all()
        )
    except (RuntimeError, TypeError):  # types that can't be compared, such as quantised and sparse ones
        return False


def _objects_in(container: Any) -> list[Any]:
    """Return the items of a container; keys and values of a dict."""
    return [*container, *container.values()] if isinstance(container, dict) else list(container)


def _generator_state(value: Any) -> tuple[Any, Callable[[Any], Any]] | None:
    """Return the state of a generator of random numbers, and a function that sets it; None for anything else."""
    if isinstance(value, torch.Generator):
        return value.get_state(), value.set_state
    if isinstance(value, random.Random):
        return value.getstate(), value.setstate
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state, lambda state: setattr(value.bit_generator, "state", state)
    if isinstance(value, np.random.RandomState):
        return value.get_state(), value.set_state
    return None
