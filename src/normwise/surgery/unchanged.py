"""Forward passes that leave no trace in the models that they run."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from normwise.statistics.random_state import random_state_kept
from normwise.surgery.snapshot import Snapshot


@contextmanager
def unchanged(*models: nn.Module) -> Iterator[None]:
    """Let models be called, traced and put into another mode, and put back whatever that changes in them.

    Modes, attributes, hooks, parameters, buffers and the random states of torch, NumPy and Python are as they were
    afterwards, also after an exception. Compiled modules run eagerly meanwhile, so that hooks are called.
    """
    snapshot = Snapshot(*models, values=True)
    with ExitStack() as stack:
        # Where nothing was compiled, the compiler is not even loaded.
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(random_state_kept())
        stack.callback(snapshot.restore)
        yield
