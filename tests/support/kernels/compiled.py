"""Models compiled with backend="normwise", and what becomes of their graphs."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.dynamo.backend import normwise
from normwise.dynamo.fused_call import call_eagerly, call_in_graph

#: Activation, and whether an addition is fused, of each batch normalization that was replaced.
Found = list[tuple[str | None, bool]]


def compiled(model: Callable[..., Any], **options: Any) -> tuple[Any, Found]:
    """Return a model compiled by our backend, with all else run as it is, and a list that fills as it is traced."""
    found: Found = []

    def backend(graph_module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        run = normwise(graph_module, inputs, options={"rest": "eager"})
        found.extend(fused_in(graph_module))
        return run

    return torch.compile(model, backend=backend, **options), found


def fused_in(graph_module: torch.fx.GraphModule) -> Found:
    """Return what was replaced in a graph."""
    return [
        (node.args[8], node.args[9] is not None)
        for node in graph_module.graph.nodes
        if node.target in (call_eagerly, call_in_graph)
    ]


def numbers_of(model: nn.Module, call: Callable[..., Any], *inputs: Tensor) -> dict[str, Any]:
    """Return outputs, gradients and buffers after one training step's forward and backward pass."""
    model.zero_grad()
    given = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    output = call(*given)
    ramp = torch.linspace(-1, 1, output.numel(), dtype=output.dtype, device=output.device)
    if output.requires_grad:
        (output * ramp.view(output.shape)).sum().backward()
    return {
        "output": output.detach(),
        "inputs": [x.grad for x in given],
        "parameters": {name: parameter.grad for name, parameter in model.named_parameters()},
        "buffers": copy.deepcopy(dict(model.named_buffers())),
    }
