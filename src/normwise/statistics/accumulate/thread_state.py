"""torch's thread-local state, carried into other threads."""

import contextvars
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils import _python_dispatch

_DEVICE_TYPES = ("cpu", "cuda", "xpu", "mps")


def thread_state() -> Callable[[Callable[[], None]], None]:
    """Return a function that calls another, in any thread, with the state of torch and the context of this thread.

    The state is: grad mode, autocast, hooks on saved tensors, modes for functions and operators, context variables,
    and the current device and stream of CUDA.
    """
    enter = _carried()
    context = contextvars.copy_context()

    def call(function: Callable[[], None]) -> None:
        def within() -> None:
            with enter():
                function()

        # Two threads can't be in the same context at once.
        context.copy().run(within)

    return call


def saved_tensors_hooks() -> Any:
    """Return this thread's pack and unpack hooks on saved tensors; None if there are none."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True)  # pyright: ignore[reportAttributeAccessIssue]


def _carried() -> Callable[[], Any]:
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    autocast = [
        (kind, torch.get_autocast_dtype(kind)) for kind in _DEVICE_TYPES if torch.is_autocast_enabled(kind)
    ]
    cache = torch.is_autocast_cache_enabled()
    saved = saved_tensors_hooks()
    functions = _get_current_function_mode_stack()
    dispatch = _python_dispatch._get_current_dispatch_mode_stack()
    stream = torch.cuda.current_stream() if torch.cuda.is_initialized() else None

    @contextmanager
    def enter() -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(inference))
            stack.enter_context(torch.set_grad_enabled(grad))
            for kind, dtype in autocast:
                stack.enter_context(torch.autocast(kind, dtype, cache_enabled=cache))
            if stream is not None:
                stack.enter_context(torch.cuda.stream(stream))
            if saved is not None:
                stack.enter_context(torch.autograd.graph.saved_tensors_hooks(*saved))
            for mode in functions:
                torch._C._push_on_torch_function_stack(mode)
                stack.callback(torch._C._pop_torch_function_stack)
            for mode in dispatch:
                _python_dispatch._push_mode(mode)
                stack.callback(_python_dispatch._pop_mode)
            yield

    return enter
