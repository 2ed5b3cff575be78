"""Convolutions and linear layers that can take over the BN layer next to them."""

from collections import Counter
from dataclasses import dataclass

from torch import Tensor, fx, nn

from normwise.layers import input_of_call, kind_of_norm
from normwise.nn.tools.hooks import has_hooks
from normwise.surgery.core.decision import LeftError
from normwise.surgery.fold.algebra import scale_and_shift
from normwise.surgery.fold.channel_axis import Axis, readers, source, turned
from normwise.surgery.fold.obstacles import (
    MIXERS,
    NoCandidateError,
    check_batch_norm,
    check_call,
    checked_mixer,
)
from normwise.surgery.graph.model_graph import ModelGraph, Part


@dataclass(frozen=True)
class Candidate:
    """Convolution or linear layer that can take over a BN layer.

    Attributes:
        layer: Convolution or linear layer.
        name: Class and path of the layer.
    """

    layer: nn.Module
    name: str


class Candidates:
    """Candidates next to each BN layer of a model, by the graph of the model on an example.

    Layers may be replaced between queries, if each replacement behaves the same for later queries.
    """

    def __init__(self, model: nn.Module, graph: ModelGraph) -> None:
        self.graph = graph
        self.nodes = graph.nodes_of()
        self.owners = Counter(p for m in model.modules() for p in m._parameters.values() if p is not None)
        self.hooked = [set(module.modules()) for module in model.modules() if has_hooks(module)]
        self.read = {
            part.module.get_submodule(str(node.target).rpartition(".")[0])
            for part, node in graph.nodes()
            if node.op == "get_attr"
        }

    def call_of(self, layer: nn.Module) -> fx.Node:
        """Return the only node that calls the layer, after :meth:`check` found no obstacle."""
        return self.nodes[layer][0][1]

    def part_of(self, layer: nn.Module) -> Part:
        """Return the traced part of the model that calls the layer, after :meth:`check` found no obstacle."""
        return self.nodes[layer][0][0]

    def check(self, path: str, layer: nn.Module) -> None:
        """Check that a neighbouring layer could take over the BN layer at all.

        Raises:
            LeftError: no layer could.
        """
        check_batch_norm(layer, self._input_of(layer))
        if not self.graph.counts[layer]:
            raise LeftError("the example does not call it")
        self._check_called_once(layer, "it")
        if layer not in self.nodes:
            raise LeftError(self._reason_unfollowed(path))
        if layer in self.read:
            raise LeftError("its parameters are used outside of it, too")
        check_call(layer, self.call_of(layer))

    def _reason_unfollowed(self, path: str) -> str:
        around = [name for name in self.graph.opaque if not name or path.startswith(f"{name}.")]
        if not around:
            return "it is called in a layer of torch that is not followed"
        inner = max(around, key=len)
        return f"of {inner or 'the model'}: {self.graph.opaque[inner]}"

    def before(self, layer: nn.Module) -> Candidate:
        """Return the layer whose whole output is the BN layer's input.

        Raises:
            LeftError: there is none.
        """
        part, node = self.nodes[layer][0]
        axis = self._axis(layer)
        passed: list[fx.Node] = []
        at = source(node)
        while at is not None:
            passed.append(at)
            further = turned(part, at, axis, backwards=True)
            if further is None:
                break
            axis, at = further, source(at)
        found = self._candidate(part, passed[-1], layer, axis, outputs=True)
        for node in passed:
            users = readers(node)
            if len(users) != 1:
                name = found.name if node is passed[-1] else _named(part, node)
                raise LeftError(f"the output of {name} is used in {len(users)} places")
        return found

    def after(self, layer: nn.Module) -> Candidate:
        """Return the layer whose input is the BN layer's output and nothing else.

        Raises:
            LeftError: there is none.
        """
        part, node = self.nodes[layer][0]
        axis, last = self._axis(layer), node
        while True:
            users = readers(last)
            if len(users) != 1:
                raise NoCandidateError(f"its output is used in {len(users)} places")
            further = turned(part, users[0], axis, backwards=False)
            if further is None:
                break
            axis, last = further, users[0]
        found = self._candidate(part, users[0], layer, axis, outputs=False)
        kind = kind_of_norm(layer)
        if kind.activation or kind.followers or len(node.all_input_nodes) > 1:
            raise LeftError(f"before {found.name} it activates, adds or masks")
        if source(users[0]) is not last:
            raise LeftError(f"{found.name} is called with arguments other than its input")
        _check_padding(layer, found)
        return found

    def _candidate(
        self, part: Part, node: fx.Node, layer: nn.Module, axis: Axis, *, outputs: bool
    ) -> Candidate:
        name = _named(part, node)
        try:
            called = part.called(node)
            module = checked_mixer(called, name, is_proven=outputs and called in self.graph.whole)
        except NoCandidateError as left:
            raise NoCandidateError(f"{'before' if outputs else 'behind'} it, {left}") from None
        self._check_called_once(module, name)
        if any(self.owners[p] > 1 for p in module.parameters(recurse=False)):
            raise LeftError(f"{name} shares its weight or bias with another layer")
        if module in self.read:
            raise LeftError(f"the weight of {name} is used outside of it, too")
        if any((layer in inside) != (module in inside) for inside in self.hooked):
            raise LeftError(f"a hook of a module around it or {name} sees what is between them")
        if any((layer in unit) != (module in unit) for unit in self.graph.uses):
            raise LeftError(
                f"code that can't be followed may use it or {name} alone, for other inputs than the example"
            )
        if not self._has_channels_on(module, axis, layer, outputs):
            raise LeftError(f"it normalises another axis than the one on which {name} has its channels")
        return Candidate(module, name)

    def _has_channels_on(self, module: nn.Module, axis: Axis, layer: nn.Module, outputs: bool) -> bool:
        if isinstance(module, nn.Linear):
            features = module.out_features if outputs else module.in_features
            return axis.is_last and features == layer.get_buffer("running_mean").numel()
        spatial = next(number for base, number in MIXERS.items() if isinstance(module, base))
        return axis.is_channel_of(spatial + 2)

    def _axis(self, layer: nn.Module) -> Axis:
        x = self._input_of(layer)
        dims = 2 if x is None else x.dim()
        return Axis(dims - 2, dims)

    def _input_of(self, layer: nn.Module) -> Tensor | None:
        return input_of_call(*self.graph.calls.get(layer, ((), {})))

    def _check_called_once(self, module: nn.Module, name: str) -> None:
        """Check that the module is called once on the example, and in the graphs."""
        times = max(self.graph.counts[module], len(self.nodes.get(module, ())))
        if times != 1:
            raise LeftError(f"{name} is called {times} times")


def _check_padding(layer: nn.Module, candidate: Candidate) -> None:
    """Check that a layer after a BN layer multiplies its weight only with the BN layer's outputs."""
    conv = candidate.layer
    if not isinstance(conv, nn.modules.conv._ConvNd) or not scale_and_shift(layer)[1].any():
        return
    if isinstance(conv, nn.modules.conv._ConvTransposeNd):
        raise LeftError(
            f"at its borders {candidate.name} sums over fewer inputs, where the shift would count less"
        )
    if conv.padding_mode == "zeros" and any(conv._reversed_padding_repeated_twice):
        raise LeftError(f"{candidate.name} pads with zeros, to which the shift is not added")


def _named(part: Part, node: fx.Node) -> str:
    if node.op == "call_module":
        return f"{type(part.called(node)).__name__} {part.path_of(node)!r}"
    if node.op == "output":
        return "the output of the model" if not part.path else f"the output of {part.path!r}"
    if node.op == "placeholder":
        return f"the argument {node.target!r}"
    return f"{getattr(node.target, '__name__', node.target)}"
