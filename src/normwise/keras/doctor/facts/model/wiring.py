"""Wiring of Functional and Sequential models: calls of layers, and the flow between them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from normwise.keras.doctor.facts.model.norm_facts import NormFacts
from normwise.keras.surgery.batch_norms import layers_of


@dataclass(eq=False)
class Op:
    """One call of a layer, or of an operation, in a graph.

    Attributes:
        layer: Called layer; None for an input of the graph.
        path: Path of the layer.
        inputs: Calls whose outputs it takes.
        shape: Shape of its output, with None for unknown sizes.
        training: Keyword ``training`` of its call, or of the call of an enclosing model; None if not given.
        is_output: Whether its output is an output of the graph.
        is_score: Whether its output is the output of the whole model.
        consumers: Calls that take its output.
    """

    layer: Any
    path: str
    inputs: list["Op"]
    shape: tuple[int | None, ...]
    training: bool | None = None
    is_output: bool = False
    is_score: bool = False
    consumers: list["Op"] = field(default_factory=list)


@dataclass(frozen=True)
class Wiring:
    """Calls in the graphs of a model, without subclassed models, which have no graph.

    Attributes:
        ops: Calls, each after its inputs.
        is_whole: Whether the model itself is a graph.
    """

    ops: tuple[Op, ...]
    is_whole: bool

    def norms(self) -> Iterator[Op]:
        """Yield the calls of BN layers."""
        return (op for op in self.ops if isinstance(op.layer, keras.layers.BatchNormalization))

    def calls_of(self, path: str) -> list[Op]:
        """Return the calls of a BN layer."""
        return [op for op in self.norms() if op.path == path]


def wiring_of(model: Any, norms: Mapping[str, NormFacts]) -> Wiring:
    """Return the calls of the model's graph, or of the graphs among a subclassed model's layers."""
    paths = {id(norm.layer): path for path, norm in norms.items()}
    ops: list[Op] = []
    if (graph := _graph_of(model)) is not None:
        _follow(graph, "", _inputs(graph), None, paths, ops, is_score=True)
    else:
        inside: set[int] = set()
        for path, layer in layers_of(model).items():
            found = _graph_of(layer)
            if found is None or id(layer) in inside:
                continue
            inside.update(id(each) for each in layers_of(layer).values())
            _follow(found, path, _inputs(found), None, paths, ops, is_score=False)
    for op in ops:
        for before in op.inputs:
            before.consumers.append(op)
    return Wiring(tuple(ops), graph is not None)


def _graph_of(layer: Any) -> Any:
    """Return the Functional model that a layer is or has; None if it has no graph.

    Keras has no public names for the nodes of a graph.
    """
    graph = getattr(layer, "_functional", layer) if isinstance(layer, keras.Sequential) else layer
    return graph if hasattr(graph, "_nodes_by_depth") and hasattr(graph, "_inputs") else None


def _inputs(graph: Any) -> list[Op]:
    return [Op(None, "", [], tuple(tensor.shape)) for tensor in graph._inputs]


def _follow(
    graph: Any,
    path: str,
    inputs: list[Op],
    training: bool | None,
    paths: dict[int, str],
    ops: list[Op],
    *,
    is_score: bool,
    is_end: bool = True,
) -> list[Op]:
    """Add the calls of a graph to ``ops``, and return those that make its outputs."""
    made: dict[int, Op] = {id(tensor): op for tensor, op in zip(graph._inputs, inputs, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            layer, name = node.operation, node.operation.name
            own = node.arguments.kwargs.get("training")
            wired = training if own is None else bool(own)
            sources = [made[id(tensor)] for tensor in node.input_tensors if id(tensor) in made]
            inner = _graph_of(layer)
            inner_path = f"{path}/{name}" if path else name
            if (
                inner is not None
                and len(inner._inputs) == len(sources)
                and len(inner._outputs) == len(node.outputs)
            ):
                given = _follow(inner, inner_path, sources, wired, paths, ops, is_score=False, is_end=False)
            else:
                op = Op(layer, paths.get(id(layer), inner_path), sources, tuple(node.outputs[0].shape), wired)
                ops.append(op)
                given = [op] * len(node.outputs)
            made.update({id(tensor): op for tensor, op in zip(node.outputs, given, strict=True)})
    ends = [made[id(tensor)] for tensor in graph._outputs]
    if is_end:
        for end in ends:
            end.is_output, end.is_score = True, is_score
    return ends
