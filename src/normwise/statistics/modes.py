"""Evaluation for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from normwise.nn.mixins.frozen import modes_kept


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation; afterwards, also after an exception, each module's mode is as it was."""
    with modes_kept(model):
        model.eval()  # which gives None where a ``train()`` of the user's does not return the model
        yield model
