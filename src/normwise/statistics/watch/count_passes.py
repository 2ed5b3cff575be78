"""Counting of a model's passes, also where ``model.compile()`` has compiled it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import nn


class PassCounter(Protocol):
    """An object that is told of a model's passes."""

    def before_pass(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Take note that a pass begins."""
        ...

    def after_pass(self, *_: object) -> None:
        """Take note that a pass has ended."""
        ...


def count_passes(model: nn.Module, counter: PassCounter) -> Callable[[], None]:
    """Tell the counter of each pass before it begins; return a function that ends that.

    It is told of the end only of passes of a model that ``model.compile()`` has compiled, which call no hooks.
    """
    compiled = model._compiled_call_impl
    if compiled is None:
        return model.register_forward_pre_hook(_Hook(counter), with_kwargs=True).remove

    # The function that ``model.compile()`` made calls no hooks; torch.compile's checks after it need the
    # old stance.
    def call(*args: Any, **kwargs: Any) -> Any:
        counter.before_pass(args, kwargs)
        output = compiled(*args, **kwargs)
        counter.after_pass()
        return output

    def stop() -> None:
        model._compiled_call_impl = compiled

    model._compiled_call_impl = call
    return stop


class _Hook:
    """Hook of a counter, which does nothing in a copy or a pickle of the model."""

    def __init__(self, counter: PassCounter | None = None):
        self._counter = counter

    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._counter is not None:
            self._counter.before_pass(args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hook, ()
