"""Graph of the calls of a model's layers, including nested models."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras

from normwise.errors import ModelError


@dataclass(eq=False)
class Call:
    """One call of a layer or of an operation of ``keras.ops``.

    Attributes:
        layer: Called layer or operation.
        path: Path of the layer in the model.
        inputs, outputs: Numbers of the input and output values.
        x: Number of the first argument; None if it is not a single value.
        rank: Number of axes of the first argument.
        positional: Number of positional arguments.
        arguments: Keyword arguments.
    """

    layer: Any
    path: str
    inputs: list[int]
    outputs: list[int]
    x: int | None
    rank: int
    positional: int
    arguments: dict[str, Any]

    @property
    def adds(self) -> bool:
        """Return whether the call of a BN layer adds a residual."""
        return self.arguments.get("residual") is not None

    @property
    def name(self) -> str:
        """Return class and path."""
        return f"{type(self.layer).__name__} {self.path!r}"


@dataclass
class Graph:
    """All calls of a model.

    Attributes:
        calls: Calls in topological order.
        producers: Call that produces a value, by the value's number.
        consumers: Calls that take a value, by its number; None stands for the output of the model.
        counts: Number of calls of a layer, by ``id``.
    """

    calls: list[Call] = field(default_factory=list)
    producers: dict[int, Call] = field(default_factory=dict)
    consumers: dict[int, list[Call | None]] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)

    def call_of(self, layer: Any) -> Call | None:
        """Return the first call of a layer."""
        return next((call for call in self.calls if call.layer is layer), None)


def is_followed(layer: Any) -> bool:
    """Return whether a layer is a functional or sequential model whose calls of layers Keras knows."""
    if isinstance(layer, keras.Sequential):
        return type(layer).call is keras.Sequential.call and layer._functional is not None
    if not (isinstance(layer, keras.Model) and isinstance(layer, keras.Function)):
        return False
    functional = next((kind for kind in type(layer).__mro__ if kind.__name__ == "Functional"), None)
    return functional is not None and type(layer).call is functional.call


def graph_of(model: Any) -> Graph:
    """Return the calls of a functional or sequential model.

    Raises:
        ModelError: the model is neither.
    """
    if not is_followed(model):
        raise ModelError(
            f"{type(model).__name__} has a call of its own, in which values can't be followed from layer to layer; "
            "build the model from keras.Input (functional or sequential), or fold such parts of it"
        )
    graph, numbers = Graph(), iter(range(10**9))
    given = [next(numbers) for _ in _functional(model).inputs]
    for value in _walk(model, "", given, graph, numbers):
        graph.consumers.setdefault(value, []).append(None)
    return graph


def _walk(part: Any, prefix: str, given: list[int], graph: Graph, numbers: Iterator[int]) -> list[int]:
    """Add the calls of a model for given input values, and return the numbers of its outputs."""
    functional = _functional(part)
    value = dict(zip(map(id, functional.inputs), given, strict=True))
    by_depth = functional._nodes_by_depth
    for node in (node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]):
        if node.is_input:
            continue
        layer, path = node.operation, f"{prefix}{node.operation.name}"
        inputs = [value[id(tensor)] for tensor in node.input_tensors]
        graph.counts[id(layer)] += 1
        if is_followed(layer) and len(inputs) == len(_functional(layer).inputs):
            outputs = _walk(layer, f"{path}/", inputs, graph, numbers)
        else:
            outputs = [next(numbers) for _ in node.outputs]
            positional, arguments = len(node.arguments.args), dict(node.arguments.kwargs)
            _add(graph, Call(layer, path, inputs, outputs, *_first(node, value), positional, arguments))
        value.update(zip(map(id, node.outputs), outputs, strict=True))
    return [value[id(tensor)] for tensor in functional.outputs]


def _add(graph: Graph, call: Call) -> None:
    graph.calls.append(call)
    for value in call.inputs:
        graph.consumers.setdefault(value, []).append(call)
    for value in call.outputs:
        graph.producers[value] = call


def _first(node: Any, value: dict[int, int]) -> tuple[int | None, int]:
    args = node.arguments.args
    first = args[0] if args else node.arguments.kwargs.get("inputs")
    return value.get(id(first)), len(getattr(first, "shape", None) or ())


def _functional(model: Any) -> Any:
    return model._functional if isinstance(model, keras.Sequential) else model
