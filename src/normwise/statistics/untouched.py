"""A model in evaluation for a while, in which nothing changes for good."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from normwise.statistics.modes import evaluating
from normwise.statistics.random_state import random_state_kept


@contextmanager
def untouched(model: nn.Module, *, data: Any = None) -> Iterator[Callable[[], None]]:
    """Evaluate the model without gradients, and eagerly, without changing it.

    Afterwards, also after an exception, modes, buffers (the tensors themselves, and their values) and the random state
    are as they were; so are the generators that ``data`` draws from. Gives a function that sets the random state back
    to the beginning.
    """
    with ExitStack() as stack:
        stack.enter_context(buffers_kept(model))
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.no_grad())
        # Compiled code would not call the hooks. Where nothing was compiled, the compiler is not even loaded.
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield stack.enter_context(random_state_kept(data))


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Leave the buffers of all modules as they are: the same tensors, with the same values."""
    values = {
        id(buffer): (buffer, own_elements(buffer).clone())
        for buffer in model.buffers()
        if not is_lazy(buffer)
    }
    # Those of TorchScript can't be exchanged.
    modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    kept = [(module, dict(module._buffers), set(module._non_persistent_buffers_set)) for module in modules]
    try:
        yield
    finally:
        for buffer, value in values.values():
            write(own_elements(buffer), value)
        for module, buffers, hidden in kept:
            if not _are(module._buffers, buffers):
                for name in buffers:
                    vars(module).pop(name, None)  # an attribute that took a buffer's place
                module._buffers.clear()
                module._buffers.update(buffers)
                module._non_persistent_buffers_set.clear()
                module._non_persistent_buffers_set.update(hidden)


def _are(now: dict[str, Tensor | None], before: dict[str, Tensor | None]) -> bool:
    return list(now) == list(before) and all(now[name] is buffer for name, buffer in before.items())


def own_elements(tensor: Tensor) -> Tensor:
    """Return the tensor, or a view of it that has each element once where an axis was expanded."""
    for axis, (size, stride) in enumerate(zip(tensor.shape, _strides(tensor), strict=True)):
        if stride == 0 and size > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def _strides(tensor: Tensor) -> tuple[int, ...]:
    return tensor.stride() if tensor.layout is torch.strided else (1,) * tensor.dim()


@torch.no_grad()
def write(buffer: Tensor, value: Tensor) -> None:
    """Copy values into a buffer, also into one that was made in inference mode."""
    with torch.inference_mode() if buffer.is_inference() else nullcontext():
        buffer.copy_(value)
