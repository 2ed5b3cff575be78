"""Contexts for forward passes that leave models unchanged."""

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
    """Restore everything that calls, tracing or mode changes within the context change in models.

    Modes, attributes, hooks, buffers, gradients and the random states of torch, NumPy and Python are restored
    afterwards, also after an exception; so are the generators that ``data`` draws from and, with ``parameters``,
    the values of parameters. Within the context compiled modules run eagerly, so that hooks are called, and the
    weight cache of a surrounding autocast is cleared. Yields a function that resets the random states to the
    beginning.
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
    """Put the model into evaluation mode, without gradients, and keep it :func:`unchanged`.

    Values of parameters are not saved: evaluation only reads them, and large models have many.
    """
    with unchanged(model, data=data, parameters=False) as begin, torch.no_grad():
        model.eval()
        yield begin
