"""Snapshot of the state of models, and its restoration."""

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
#: Immutable values, and weak references, which may be dead.
FIXED = frozenset({str, bytes, int, float, complex, bool, type(None), *weakref.ProxyTypes})
#: Objects whose attributes a forward pass does not write.
_PASSIVE = (type, FunctionType, MethodType, ModuleType)


class Snapshot:
    """Snapshot of modules, attributes, hooks, classes, modes, parameters and buffers of models.

    Objects keep their identity: the items of a changed list or dict are restored, and a reassigned attribute gets
    its old object. ``requires_grad`` and ``grad`` of parameters are restored. With ``values``, the values of
    tensors, arrays and random generators are restored as well; those of parameters only with ``parameters``.
    """

    def __init__(self, *models: nn.Module, values: bool, parameters: bool = True) -> None:
        self._values, self._parameters = values, parameters
        self._seen: set[int] = set()
        self._steps: list[Callable[[], None]] = []
        self._changes: list[Callable[[], bool]] = []
        #: Empty containers, as most containers of a module are, such as its hooks.
        self._empty: list[Any] = []
        for module in dict.fromkeys(module for model in models for module in model.modules()):
            self._keep_module(module)

    def restore(self) -> None:
        """Restore everything."""
        for container in self._empty:
            if container:
                container.clear()
        for step in self._steps:
            step()

    def keep_buffers(self, module: nn.Module) -> None:
        """Save only the module's own buffers."""
        self._keep_container(module._buffers)

    def is_changed(self) -> bool:
        """Return whether anything was set, or written into, since the snapshot."""
        return any(self._empty) or any(change() for change in self._changes)

    def _keep_module(self, module: nn.Module) -> None:
        kind = type(module)
        if isinstance(module, torch.jit.ScriptModule):
            # Its attributes are in C++, and can't be replaced.
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                self._keep(tensor)
            if isinstance(mode := getattr(module, "training", None), bool):  # a frozen dataclass has none
                self._steps.append(partial(setattr, module, "training", mode))
            return
        self._steps.append(partial(change_class, module, kind))
        self._keep_container(vars(module))

    def _keep(self, value: Any, *, inside_object: bool = False) -> None:
        """Save the parts of ``value`` that a forward pass may change without setting an attribute of a module."""
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
            # An object of the user's class, such as a counter; its own objects are not followed further.
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
    """Restore the items of a container."""
    container.clear()
    if isinstance(container, (dict, set)):
        container.update(before)
    else:
        container.extend(before)


def _has_others(container: Any, before: Any) -> bool:
    """Return whether the items of a container, or their order, have changed."""
    now, then = _objects_in(container), _objects_in(before)
    return len(now) != len(then) or any(a is not b for a, b in zip(now, then, strict=True))


def _write_back(tensor: Tensor, before: Tensor) -> None:
    if tensor.shape != before.shape:
        with torch.inference_mode(tensor.is_inference()), torch.no_grad():
            tensor.resize_(before.shape)
    # An unchanged tensor is not written to: autograd would count that as a change.
    if not _are_same(tensor, before):
        write(tensor, before)


def _are_same(first: Tensor, second: Tensor) -> bool:
    try:
        return torch.equal(first, second) or bool(
            ((first == second) | ((first != first) & (second != second))).all()
        )
    except (RuntimeError, TypeError):  # such as quantised and sparse tensors, which can't be compared
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
