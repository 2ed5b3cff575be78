"""The forward pass of one module as a graph, with its children as they are."""

import inspect
from typing import Any

import torch
from torch import Tensor, fx, nn

from normwise.errors import ModelError
from normwise.surgery.twin import twin


class _OwnForward(fx.Tracer):
    """Follows a module's own forward, and none of its children's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def own_graph(module: nn.Module) -> fx.Graph:
    """The graph of ``module.forward``, where it is the same in training and in evaluation.

    Raises:
        ModelError: it can't be traced, depends on the mode, or draws or makes tensors on its way, which a
            graph would make the same ones each time.
    """
    graphs: list[fx.Graph] = []
    for training in (True, False):
        # A forward may set attributes: on a twin, that is never seen.
        other = twin(module).train(training)
        try:
            graphs.append(_OwnForward().trace(other))
        except Exception as error:
            raise ModelError(f"its forward can't be traced: {str(error).splitlines()[0]}") from None
    if str(graphs[0]) != str(graphs[1]):
        raise ModelError("its forward is another one in evaluation")
    if any(node.op == "get_attr" and "_tensor_constant" in str(node.target) for node in graphs[0].nodes):
        raise ModelError("its forward makes tensors of its own")
    return graphs[0]


def shapes(
    module: nn.Module, graph: fx.Graph, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, torch.Size]:
    """The shape of each tensor of the graph, by the name of its node, for a call with these arguments."""
    found: dict[str, torch.Size] = {}

    class Record(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, Tensor):
                found[n.name] = value.shape
            return value

    bound = inspect.signature(module.forward).bind(*args, **kwargs)
    bound.apply_defaults()
    other = twin(module).eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        Record(fx.GraphModule(other, graph)).run(*bound.args, *bound.kwargs.values())
    return found


def replace_forward(module: nn.Module, graph: fx.Graph) -> None:
    """Make the graph the module's forward pass; all else of the module and of its class stays."""
    graph.lint()
    code = graph.python_code("self")
    names = dict(code.globals)
    exec(code.src, names)
    kind = type(module)
    attributes = {"forward": names["forward"], "__module__": kind.__module__, "__doc__": kind.__doc__}
    module.__class__ = type(kind.__name__, (kind,), attributes)
