"""Layers as leaves of the graphs that torch.fx traces, as torch's own layers are."""

from typing import Any

from torch import fx, nn


def is_traced(value: Any) -> bool:
    """Return whether torch.fx is tracing, and this is a proxy for a value of the graph."""
    return isinstance(value, fx.Proxy)


def leaf_call(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Return the call of the layer as one node of the traced graph.

    torch.fx traces into every module whose class is not in ``torch.nn``; so the forward pass of our layers makes
    the node itself.
    """
    tracer: fx.Tracer = args[0].tracer
    given = {name: value for name, value in kwargs.items() if value is not None}
    return tracer.create_proxy("call_module", tracer.path_of_module(layer), args, given)
