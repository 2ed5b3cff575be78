"""A model in evaluation for a while, of which nothing changes but what must."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from normwise.statistics.modes import evaluating


@contextmanager
def untouched(model: nn.Module, *, but: list[Tensor]) -> Iterator[Callable[[], None]]:
    """Evaluate the model without gradients, and eagerly, without changing it.

    Afterwards modes, random state and buffers are as they were; of the buffers, those of ``but`` only if an exception
    passes through. Gives a function that sets the random state back to the beginning.
    """
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    kept = {id(buffer) for buffer in but}
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.no_grad())
        # Compiled code would not call the hooks. Where nothing was compiled, the compiler is not even loaded.
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        begin = stack.enter_context(random_state_kept())
        try:
            yield begin
        except BaseException:
            kept.clear()
            raise
        finally:
            for buffer, value in before:
                if id(buffer) not in kept:
                    buffer.copy_(value)


@contextmanager
def random_state_kept() -> Iterator[Callable[[], None]]:
    """Keep the random states of torch, NumPy and Python, from which loaders, augmentations and models draw."""
    cuda = torch.cuda.is_initialized()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 (theirs, not ours)
    cuda_states = torch.cuda.get_rng_state_all() if cuda else []

    def restore() -> None:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda_states)

    try:
        yield restore
    finally:
        restore()
