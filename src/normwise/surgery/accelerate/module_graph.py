"""The forward pass of one module as a graph, with its children as leaves."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from normwise.surgery.accelerate.constants import is_constant
from normwise.surgery.accelerate.pure_forward import Watch, run, watched
from normwise.surgery.core.decision import LeftError, reason_of
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.core.shadow_copy import shadow_copy

Kind = tuple[torch.Size, torch.dtype]


@dataclass(frozen=True)
class OwnForward:
    """A module's forward pass as a graph of calls.

    Attributes:
        graph: Graph whose inputs are the tensors of a call, in order, the positional ones first.
        names: Names of all attributes that the code of the forward pass may have read.
        kinds: Shape and dtype of each tensor of the graph on the example, by the name of its node.
    """

    graph: fx.Graph
    names: frozenset[str]
    kinds: dict[str, Kind]


def own_forward(module: nn.Module, call: Arguments) -> OwnForward:
    """Trace ``module.forward`` for calls like this one, if it does nothing that a graph does not show.

    Raises:
        LeftError: the forward can't be traced, depends on the mode, has other effects, or branches on anything but
            its attributes.
    """
    if "forward" in vars(module):
        raise LeftError("its forward was replaced on the instance")
    if isinstance(module, fx.GraphModule):
        raise LeftError("its forward is compiled from a graph, and is again when that is changed")
    args, kwargs = call
    for value in (*args, *kwargs.values()):
        if not is_constant(value) and type(value) not in (Tensor, nn.Parameter):
            raise LeftError(
                f"it is called with a {type(value).__name__}; only tensors and constants are followed"
            )
    graphs: list[fx.Graph] = []
    names: set[str] = set()
    for training in (True, False):
        # On a shadow copy, so that a write that is detected too late does not reach the model.
        other = shadow_copy(module)
        other.train(training)
        watch = Watch()
        try:
            with watched(watch):
                graphs.append(_Tracer(call).trace(other))
        except Exception as error:
            if watch.reason:
                raise LeftError(watch.reason) from None
            if isinstance(error, LeftError):
                raise
            raise LeftError(f"its forward can't be traced: {reason_of(error)}") from None
        if watch.reason:
            raise LeftError(watch.reason)
        names |= watch.names
    if str(graphs[0]) != str(graphs[1]):
        raise LeftError("its forward differs between training and evaluation")
    if any(node.op == "get_attr" and "_tensor_constant" in str(node.target) for node in graphs[0].nodes):
        raise LeftError("its forward makes tensors of its own")
    return OwnForward(graphs[0], frozenset(names), _kinds(module, graphs[0], call))


class _Value(fx.Proxy):
    """A traced value that keeps in-place operations: torch.fx would turn ``x += y`` into ``x = x + y``."""


def _in_place(function: Callable[..., Any]) -> Callable[[_Value, Any], Any]:
    def record(self: _Value, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return record


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    setattr(_Value, f"__i{_name}__", _in_place(getattr(operator, f"i{_name}")))


class _Tracer(fx.Tracer):
    """Tracer of a module's own forward, without its children's."""

    proxy_buffer_attributes = True

    def __init__(self, call: Arguments) -> None:
        super().__init__()
        self._call = call

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Pass the call's tensors as inputs of the graph, and all other arguments unchanged."""

        def given(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return self.create_proxy("placeholder", f"input_{next(numbers)}", (), {})

        numbers = iter(range(len(self._call[0]) + len(self._call[1])))
        args = [given(value) for value in self._call[0]]
        kwargs = {name: given(value) for name, value in self._call[1].items()}
        return lambda: run(root_fn, self.root, *args, **kwargs), []


def tensors_of_call(call: Arguments) -> list[Tensor]:
    """Return the tensors among the arguments, in the order of the graph's inputs."""
    return [value for value in (*call[0], *call[1].values()) if isinstance(value, Tensor)]


def _kinds(module: nn.Module, graph: fx.Graph, call: Arguments) -> dict[str, Kind]:
    """Return shape and dtype of each tensor that the graph computes for this call."""
    found: dict[str, Kind] = {}

    class Record(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, Tensor):
                found[n.name] = value.shape, value.dtype
            elif n.op == "call_module":
                raise LeftError(f"{n.target!r} returns a {type(value).__name__}; only tensors are followed")
            return value

    other = shadow_copy(module)
    other.eval()
    try:
        with torch.no_grad():
            Record(fx.GraphModule(other, graph)).run(*(t.clone() for t in tensors_of_call(call)))
    except LeftError:
        raise
    except Exception as error:
        raise LeftError(f"its graph fails on the example: {reason_of(error)}{_hint(module, call)}") from None
    return found


def _hint(module: nn.Module, call: Arguments) -> str:
    """Return advice if a module gets tensors of another dtype than its parameters, as under autocast."""
    given = {tensor.dtype for tensor in tensors_of_call(call) if tensor.is_floating_point()}
    own = {parameter.dtype for parameter in module.parameters()}
    if given <= own or not own or torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu"):
        return ""
    return ". Where the model enters autocast by itself, call accelerate inside the same autocast"
