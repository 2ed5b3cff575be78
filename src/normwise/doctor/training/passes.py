"""Notification before each pass of a model, compiled or not."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]


def before_each_pass(model: nn.Module, tell: Callable[[Any], None]) -> Callable[[], None]:
    """Call ``tell`` with the arguments before each training pass of a model; return a function that ends that.

    It is not called for passes while compiling, tracing or transforming: their tensors have no values. A model that
    ``torch.compile`` returned, or that ``model.compile()`` compiled before, is first called by Python, and counts.
    """
    compiled = model._compiled_call_impl
    hook = PassHook(tell)
    if compiled is None:
        return model.register_forward_pre_hook(hook, with_kwargs=True).remove

    # The function that ``model.compile()`` made calls no hooks.
    def call(*args: Any, **kwargs: Any) -> Any:
        hook(model, args, kwargs)
        return compiled(*args, **kwargs)

    def stop() -> None:
        model._compiled_call_impl = compiled

    model._compiled_call_impl = call
    return stop


def samples_of(values: Any) -> int | None:
    """Return the length of the first tensor in a batch or in arguments; None if there is none."""
    if isinstance(values, tuple) and values and isinstance(values[0], Tensor):
        return len(values[0]) if values[0].dim() else None
    first = next(
        (leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor) and leaf.dim()), None
    )
    return None if first is None else len(first)


def is_compiled(model: nn.Module, path: str) -> bool:
    """Return whether a module is within compiled code, which calls none of its hooks."""
    names = path.split(".") if path else []
    if "_orig_mod" in names:
        return True
    module: nn.Module | None = model
    for name in [*names, ""]:
        if module is None or module._compiled_call_impl is not None:
            return module is not None
        module = module._modules.get(name)
    return False


class PassHook:
    """Hook on a model, which does nothing in a copy or a pickle of the model."""

    def __init__(self, tell: Callable[[Any], None] | None = None) -> None:
        self._tell = tell

    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Report the pass."""
        if torch.compiler.is_compiling() or self._tell is None or not model.training:
            return
        if not torch._C._is_tracing() and _transforms() is None:
            self._tell(args or kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return PassHook, ()
