"""Trace of a forward pass: every call of a module, a function or a method on tensors."""

from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from normwise.doctor.facts.passes.axes import moved_axes
from normwise.doctor.facts.passes.flow import DROPOUT, PASSES_THROUGH, Flow, Op
from normwise.doctor.facts.passes.task import output_tensor
from normwise.layers import batch_norms
from normwise.layers.functions import ARGUMENTS, BY_BATCH


def trace_flow(model: nn.Module, run: Any) -> Flow:
    """Trace one forward pass of a model; the caller preserves its state.

    Args:
        model: Model in evaluation mode.
        run: Function that calls the model and returns its output.
    """
    follower = _Follower()
    norms = batch_norms(model)
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # it takes no hooks
        module.register_forward_pre_hook(
            partial(follower.enter, path, path in norms), with_kwargs=True, prepend=True
        )
        module.register_forward_hook(partial(follower.leave, path, path in norms), always_call=True)
    failed, output = "", None
    with torch.no_grad(), follower:
        try:
            output = run()
        except Exception as error:  # the user's model may raise anything
            failed = f"{type(error).__name__}: {(str(error) or 'without a text').splitlines()[0]}"
    made = [follower.made_by(leaf) for leaf in pytree.tree_leaves(_plain(output)) if isinstance(leaf, Tensor)]
    scores = output_tensor(output)
    return Flow(
        tuple(follower.ops),
        tuple(op for op in made if op is not None),
        failed,
        follower.made_by(scores) if isinstance(scores, Tensor) else None,
    )


class _Follower(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: list[Op] = []
        self._made: dict[int, Op] = {}
        #: All seen tensors, kept alive so that ids are unique.
        self._alive: list[Any] = []
        self._stack: list[tuple[str, nn.Module]] = []
        self._within_norm: list[tuple[Op, ...]] = []

    def made_by(self, tensor: Tensor) -> Op | None:
        return self._made.get(id(tensor))

    def enter(self, path: str, is_norm: bool, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not self._stack:
            for leaf in pytree.tree_leaves((args, kwargs)):
                if isinstance(leaf, Tensor) and id(leaf) not in self._made:
                    self._note("input", leaf, (), leaf)
        self._stack.append((path, module))
        if is_norm:
            self._within_norm.append(self._inputs((args, kwargs)))

    def leave(self, path: str, is_norm: bool, module: nn.Module, args: Any, output: Any) -> None:
        with suppress(IndexError):  # an exception may have unwound more than has begun
            while self._stack.pop()[1] is not module:
                pass
        if is_norm and self._within_norm:
            inputs = self._within_norm.pop()
            if output is not None and not self._within_norm:
                self._stack.append((path, module))
                self._note("norm", output, inputs, output)
                self._stack.pop()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = () if self._within_norm else self._inputs((args, kwargs))
        output = func(*args, **kwargs)
        if not self._within_norm and any(isinstance(leaf, Tensor) for leaf in _leaves(output)):
            name = getattr(func, "__name__", str(func)).split(".")[0].strip("_")
            if name == "get":  # an attribute, such as ``mT``
                name = getattr(getattr(func, "__self__", None), "__name__", name)
            if name == "norm":  # torch.norm, which is no BN layer
                name = "vector_norm"
            self._note(name, output, inputs, args, func, kwargs)
        return output

    def _inputs(self, values: Any) -> tuple[Op, ...]:
        made = (self._made.get(id(leaf)) for leaf in _leaves(values) if isinstance(leaf, Tensor))
        return tuple(dict.fromkeys(op for op in made if op is not None))

    def _note(
        self,
        name: str,
        output: Any,
        inputs: tuple[Op, ...],
        args: Any,
        func: Any = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        tensors = [leaf for leaf in _leaves(output) if isinstance(leaf, Tensor)]
        if not tensors:
            return
        path, module = self._stack[-1] if self._stack else ("", None)
        kwargs = kwargs or {}
        probability = 0.0
        if name in DROPOUT:
            probability = float(kwargs.get("p", args[1] if len(args) > 1 else 0.5))
        axes = moved_axes(name, func, args, kwargs) if func is not None and name in PASSES_THROUGH else ()
        by_batch = _is_by_batch(func, args, kwargs)
        op = Op(name, path, module, inputs, tuple(tensors[0].shape), probability, by_batch, axes)
        self.ops.append(op)
        for tensor in tensors:
            self._made[id(tensor)] = op
            self._alive.append(tensor)


def _is_by_batch(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    called = func.default if isinstance(func, torch._ops.OpOverloadPacket) else func
    try:
        names = ARGUMENTS.get(called)
    except TypeError:
        return False
    if names is None:
        return False
    given = dict(zip(names, args, strict=False)) | kwargs
    call = given.get("call")
    if call is not None:
        return bool(call.training)
    return bool(given.get("training", called in BY_BATCH)) or given.get("running_mean") is None


def _plain(output: Any) -> Any:
    """Return the output in a form in which a pytree finds its tensors, also in attributes of objects."""
    attributes = getattr(output, "__dict__", None)
    return [output, dict(attributes)] if isinstance(attributes, dict) else output


def _leaves(values: Any) -> list[Any]:
    return pytree.tree_leaves(values)
