"""Evaluation for a while, with running statistics or with each batch's own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from normwise.layers import kind_of_norm, layers_with_statistics
from normwise.nn.mixins.frozen import MODE_ATTRIBUTES
from normwise.statistics.preserve.snapshot import Snapshot


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put each module's mode back afterwards, also after an exception, and that which a frozen one will have."""
    kept = {
        module: {name: vars(module)[name] for name in MODE_ATTRIBUTES if name in vars(module)}
        for module in model.modules()
    }
    try:
        yield
    finally:
        for module, modes in kept.items():
            vars(module).update(modes)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation; afterwards, also after an exception, each module's mode is as it was."""
    with modes_kept(model):
        model.eval()  # which gives None where a ``train()`` of the user's does not return the model
        yield model


@contextmanager
def using_batch_statistics(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation, but let its BN layers normalise with the statistics of the batch.

    Afterwards every layer's mode is as it was, also when an exception passes through. The running
    statistics don't move: ``track_running_stats`` is off meanwhile, and torch's layers and ours then
    leave their buffers alone. A :class:`normwise.nn.BatchRenorm1d` corrects nothing then, and ghost layers normalise
    each virtual batch. A subclass with a forward pass of its own may not: its buffers are put back.
    """
    layers = layers_with_statistics(model).values()
    tracking = {layer: layer.track_running_stats for layer in layers}
    buffers = Snapshot(values=True)
    with ExitStack() as stack:
        stack.callback(buffers.restore)
        for layer in layers:
            if kind_of_norm(layer).forward_of is None:
                buffers.keep_buffers(layer)
        stack.enter_context(evaluating(model))
        try:
            for layer in layers:
                layer.train()
                layer.track_running_stats = False
            yield model
        finally:
            for layer, tracked in tracking.items():
                layer.track_running_stats = tracked
