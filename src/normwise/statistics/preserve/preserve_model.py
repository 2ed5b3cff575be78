"""Forward passes that leave no trace in the models that they run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from normwise.statistics.preserve.force_eager import running_eagerly
from normwise.statistics.preserve.random_state import random_state_kept
from normwise.statistics.preserve.snapshot import Snapshot


@contextmanager
def unchanged(*models: nn.Module, data: Any = None, parameters: bool = True) -> Iterator[Callable[[], None]]:
    """Let models be called, traced and put into another mode, and put back whatever that changes in them.

    Modes, attributes, hooks, buffers, gradients and the random states of torch, NumPy and Python are as they were
    afterwards, also after an exception; so are the generators that ``data`` draws from and, with ``parameters``, the
    values of parameters. Compiled modules run eagerly meanwhile, so that hooks are called, and autocast around the
    call forgets the weights that it has converted. Gives a function that sets the random states back to the beginning.
    """
    snapshot = Snapshot(*models, values=True, parameters=parameters)
    with ExitStack() as stack:
        stack.enter_context(running_eagerly())
        begin = stack.enter_context(random_state_kept(data))
        stack.callback(torch.clear_autocast_cache)
        stack.callback(snapshot.restore)
        yield begin


@contextmanager
def unchanged_in_evaluation(model: nn.Module, *, data: Any = None) -> Iterator[Callable[[], None]]:
    """Put the model into evaluation, without gradients, and leave it :func:`unchanged`.

    Values of parameters, which evaluation reads only, are not kept: large models have much of them.
    """
    with unchanged(model, data=data, parameters=False) as begin, torch.no_grad():
        model.eval()
        yield begin
