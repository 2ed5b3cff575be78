"""Which layer each BN layer can be folded into, and why not where there is none."""

from collections import Counter
from dataclasses import dataclass

from torch import Tensor, fx, nn

from normwise.layers import input_of_call, kind_of_norm
from normwise.nn.tools.hooks import has_hooks
from normwise.surgery.fold.algebra import scale_and_shift
from normwise.surgery.fold.channel_axis import Axis, readers, source, turned
from normwise.surgery.fold.obstacles import MIXERS, of_batch_norm, of_call, of_mixer
from normwise.surgery.graph.model_graph import Flow, Part


@dataclass(frozen=True)
class Site:
    """A convolution or linear layer that can take over a BN layer.

    Attributes:
        layer: It.
        name: Its class and path.
    """

    layer: nn.Module
    name: str


@dataclass(frozen=True)
class Miss:
    """Why the layer on one side can't.

    Attributes:
        reason: In words.
        near: Whether it is a convolution or linear layer at all.
    """

    reason: str
    near: bool = True


class Sites:
    """What the flow of values through a model on an example says about its BN layers.

    Layers may be exchanged meanwhile, if each is for the next what it was.
    """

    def __init__(self, model: nn.Module, flow: Flow) -> None:
        self.flow = flow
        self.nodes = flow.nodes_of()
        self.owners = Counter(p for m in model.modules() for p in m._parameters.values() if p is not None)
        self.hooked = [set(module.modules()) for module in model.modules() if has_hooks(module)]
        self.read = {
            part.module.get_submodule(str(node.target).rpartition(".")[0])
            for part, node in flow.nodes()
            if node.op == "get_attr"
        }

    def call_of(self, layer: nn.Module) -> fx.Node:
        """The one node that calls the layer, where :meth:`obstacle` finds nothing."""
        return self.nodes[layer][0][1]

    def part_of(self, layer: nn.Module) -> Part:
        """Return the followed part of the model that calls the layer, where :meth:`obstacle` finds nothing."""
        return self.nodes[layer][0][0]

    def obstacle(self, path: str, layer: nn.Module) -> str:
        """Why no other layer can take it over, whatever stands around it; empty if that isn't so."""
        if reason := of_batch_norm(layer, self._input_of(layer)):
            return reason
        if not self.flow.counts[layer]:
            return "the example does not call it"
        if times := self._calls(layer):
            return f"it is called {times} times"
        if layer not in self.nodes:
            return self._unfollowed(path)
        if layer in self.read:
            return "its parameters are used outside of it, too"
        return of_call(layer, self.call_of(layer))

    def _unfollowed(self, path: str) -> str:
        around = [name for name in self.flow.opaque if not name or path.startswith(f"{name}.")]
        if not around:
            return "it is called in a layer of torch that is not followed"
        inner = max(around, key=len)
        return f"of {inner or 'the model'}: {self.flow.opaque[inner]}"

    def before(self, layer: nn.Module) -> Site | Miss:
        """The layer of whose output the BN layer's input is all."""
        part, node = self.nodes[layer][0]
        axis, passed = self._axis(layer), list[fx.Node]()
        at = source(node)
        while at is not None:
            passed.append(at)
            further = turned(part, at, axis, backwards=True)
            if further is None:
                break
            axis, at = further, source(at)
        found = self._mixer(part, passed[-1], layer, axis, outputs=True)
        if isinstance(found, Site) and (several := next((n for n in passed if len(readers(n)) != 1), None)):
            name = found.name if several is passed[-1] else _named(part, several)
            return Miss(f"the output of {name} is used in {len(readers(several))} places")
        return found if isinstance(found, Site) or found.near else Miss(f"before it, {found.reason}", False)

    def behind(self, layer: nn.Module) -> Site | Miss:
        """The layer whose input is the BN layer's output and nothing else."""
        part, node = self.nodes[layer][0]
        axis, last = self._axis(layer), node
        while True:
            users = readers(last)
            if len(users) != 1:
                return Miss(f"its output is used in {len(users)} places", near=False)
            further = turned(part, users[0], axis, backwards=False)
            if further is None:
                break
            axis, last = further, users[0]
        found = self._mixer(part, users[0], layer, axis, outputs=False)
        if isinstance(found, Miss):
            return found if found.near else Miss(f"behind it, {found.reason}", False)
        if kind_of_norm(layer).activation or len(node.all_input_nodes) > 1:
            return Miss(f"before {found.name} it activates, adds or masks")
        if source(users[0]) is not last:
            return Miss(f"{found.name} is called with arguments other than its input")
        return _padding(layer, found)

    def _mixer(
        self, part: Part, node: fx.Node, layer: nn.Module, axis: Axis, *, outputs: bool
    ) -> Site | Miss:
        module, name = part.called(node), _named(part, node)
        reason = of_mixer(module, name)
        if module is None or reason:
            return Miss(reason, near=isinstance(module, tuple(MIXERS)))
        if times := self._calls(module):
            return Miss(f"{name} is called {times} times")
        if any(self.owners[p] > 1 for p in module.parameters(recurse=False)):
            return Miss(f"{name} shares its weight or bias with another layer")
        if module in self.read:
            return Miss(f"the weight of {name} is used outside of it, too")
        if any((layer in inside) != (module in inside) for inside in self.hooked):
            return Miss(f"a hook of a module around it or {name} sees what is between them")
        if any((layer in unit) != (module in unit) for unit in self.flow.uses):
            return Miss(
                f"code that can't be followed may use it or {name} alone, for other inputs than the example"
            )
        if not self._has_channels_on(module, axis, layer, outputs):
            return Miss(f"it normalises another axis than the one on which {name} has its channels")
        return Site(module, name)

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
        return input_of_call(*self.flow.calls.get(layer, ((), {})))

    def _calls(self, module: nn.Module) -> int:
        """How often it is called on the example or in the graphs, where that is not once."""
        times = max(self.flow.counts[module], len(self.nodes.get(module, ())))
        return times if times != 1 else 0


def _padding(layer: nn.Module, site: Site) -> Site | Miss:
    conv = site.layer
    if not isinstance(conv, nn.modules.conv._ConvNd) or not scale_and_shift(layer)[1].any():
        return site
    if isinstance(conv, nn.modules.conv._ConvTransposeNd):
        return Miss(f"at its borders {site.name} sums over fewer inputs, where the shift would count less")
    if conv.padding_mode == "zeros" and any(conv._reversed_padding_repeated_twice):
        return Miss(f"{site.name} pads with zeros, to which the shift is not added")
    return site


def _named(part: Part, node: fx.Node) -> str:
    if node.op == "call_module":
        return f"{type(part.called(node)).__name__} {part.path_of(node)!r}"
    if node.op == "output":
        return "the output of the model" if not part.path else f"the output of {part.path!r}"
    if node.op == "placeholder":
        return f"the argument {node.target!r}"
    return f"{getattr(node.target, '__name__', node.target)}"
