"""Contexts for evaluation, with running statistics or with batch statistics."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from normwise.layers import kind_of_norm, layers_with_statistics
from normwise.nn.mixins.frozen import MODE_ATTRIBUTES
from normwise.statistics.preserve.snapshot import Snapshot


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Restore each module's mode afterwards, also after an exception, and the remembered mode of frozen layers."""
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
    """Put the model into evaluation mode, and restore each module's mode afterwards, also after an exception."""
    with modes_kept(model):
        model.eval()  # it returns None if the user's ``train()`` does not return the model
        yield model


@contextmanager
def using_batch_statistics(model: nn.Module) -> Iterator[nn.Module]:
    """Put the model into evaluation mode, but let its BN layers normalise with batch statistics.

    Afterwards every layer's mode is restored, also after an exception. The running statistics do not change:
    ``track_running_stats`` is off within the context, so torch's layers and ours don't update their buffers. A
    :class:`normwise.nn.BatchRenorm1d` makes no correction then, and ghost layers normalise each virtual batch. A
    subclass with its own forward pass may update its buffers: they are restored.
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
