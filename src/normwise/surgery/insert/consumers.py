"""Consumers of the outputs of each layer, from autograd's graph of an example."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.layers import kind_of
from normwise.layers.known_classes import WEIGHTED
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.core.run_example import run_example

Kind = Literal["layer", "norm", "activation", "attention", "output"]

#: Layers that inserting and removing work on: they mix channels, and add a bias to each.
LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
#: Functions of each value by itself.
_ACTIVATIONS = tuple(
    kind
    for kind in vars(nn.modules.activation).values()
    if isinstance(kind, type)
    and issubclass(kind, nn.Module)
    and kind.__module__ == nn.modules.activation.__name__
    and kind not in (nn.MultiheadAttention, nn.GLU, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)
)
#: Products with weights outside of known modules; products of activations, and functions that make weights of
#: them.
_PRODUCTS = ("Convolution", "Addmm", "Mm", "Linear")
_ATTENTIONS = ("Softmax", "Bmm", "Baddbmm", "ScaledDotProduct")
#: Norms that are called as functions.
_NORM_FUNCTIONS = ("NativeBatchNorm", "CudnnBatchNorm", "NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm")


@dataclass(frozen=True)
class Consumer:
    """Consumer of a layer's output.

    Attributes:
        kind: Kind of consumer: a layer with weights, a norm, an activation, a product as in attention, or the
            model's output.
        module: Module of the consumer; None if it is a function, or the output.
        direct: Whether no operation lies between.
    """

    kind: Kind
    module: nn.Module | None
    direct: bool


@dataclass
class LayerUse:
    """Use of a layer on the example.

    Attributes:
        calls: Number of calls.
        output: Shape of the output of the first call.
        followed: Whether autograd saw the output; it does not if the layer is called without gradients, or the
            output is complex.
        consumers: First consumer on each path from the output. Activations are passed through, except on a path to
            another activation.
    """

    calls: int = 0
    output: torch.Size = torch.Size()  # noqa: RUF009 (a tuple)
    followed: bool = False
    consumers: set[Consumer] = field(default_factory=set)


class _Mark(torch.autograd.Function):
    """The identity, as a node of the graph that marks the output of a known module."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, always: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return grad_outputs[0], None


def consumer_kind(module: nn.Module) -> Kind | None:
    """Return the kind of consumer that a module is; None if it is passed through."""
    if isinstance(module, WEIGHTED):
        return "layer"
    if isinstance(module, _ACTIVATIONS):
        return "activation"
    return None if kind_of(module) is None else "norm"


def consumers(model: nn.Module, arguments: Arguments) -> dict[nn.Module, LayerUse]:
    """Follow the outputs of all modules through an evaluation of the example, and leave the model unchanged.

    However the forward passes are written, autograd sees where values go, except for computations without
    gradients.

    Returns:
        The use of each module, with consumers for weighted layers and activations.

    Raises:
        ModelError: the model fails on the example.
    """
    trail = _Trail({module: LayerUse() for module in model.modules()})
    with unchanged(model), torch.enable_grad():
        model.eval()
        for module in model.modules():
            module.register_forward_pre_hook(trail.entering(module), with_kwargs=True)
            module.register_forward_hook(trail.leaving(module), prepend=True)
        output = run_example(model, arguments)
    trail.ends.append(("output", None, _nodes(output)))
    trail.follow()
    return trail.found


class _Trail:
    """Marks at outputs of modules, their inputs, and the paths between them."""

    def __init__(self, found: dict[nn.Module, LayerUse]) -> None:
        self.found = found
        self.marks: dict[Any, nn.Module] = {}
        self.ends: list[tuple[Kind, nn.Module | None, list[Any]]] = []
        # So that each mark becomes a node, even if parameters are frozen.
        self.always = torch.zeros((), requires_grad=True)

    def entering(self, module: nn.Module) -> Callable[..., None]:
        kind = consumer_kind(module)

        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.found[module].calls += 1
            if kind is not None:
                self.ends.append((kind, module, _nodes((args, kwargs))))

        return hook

    def leaving(self, module: nn.Module) -> Callable[..., Any]:
        def mark(value: Tensor) -> Tensor:
            use = self.found[module]
            if use.calls == 1:
                use.output = value.shape
            if consumer_kind(module) is None or not value.is_floating_point():
                return value
            marked = _Mark.apply(value, self.always)
            if marked.grad_fn is not None:
                use.followed = True
                self.marks[marked.grad_fn] = module
            return marked

        return lambda _, args, output: pytree.tree_map_only(Tensor, mark, output)

    def follow(self) -> None:
        """Go back from each consumer to the modules whose outputs it uses."""
        functions: set[Any] = set()
        # The list grows: functions found on the way are consumers themselves.
        for kind, module, starts in self.ends:
            for node in self._back(kind, starts, functions):
                self.found[self.marks[node]].consumers.add(Consumer(kind, module, node in starts))

    def _back(self, kind: Kind, starts: Iterable[Any], functions: set[Any]) -> Iterator[Any]:
        stack, seen = list(starts), set()
        while stack:
            node = stack.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            before = [inner for inner, _ in node.next_functions]
            if node in self.marks:
                yield node
                if consumer_kind(self.marks[node]) != "activation" or kind == "activation":
                    continue
            function = _function_kind(node, before)
            if function is not None and node not in functions:
                functions.add(node)
                self.ends.append((function, None, before))
            if function not in ("layer", "norm"):
                stack += before


def _function_kind(node: Any, before: list[Any]) -> Kind | None:
    name = node.name()
    if name.startswith(_ATTENTIONS):
        return "attention"
    if name.startswith(_NORM_FUNCTIONS):
        return "norm"
    return "layer" if name.startswith(_PRODUCTS) and any(map(_is_parameter, before)) else None


def _is_parameter(node: Any) -> bool:
    """Return whether the node is a parameter, perhaps transposed."""
    while node is not None and type(node).__name__ in (
        "TBackward0",
        "TransposeBackward0",
        "PermuteBackward0",
    ):
        node = node.next_functions[0][0]
    return type(node).__name__ == "AccumulateGrad"


def _nodes(values: Any) -> list[Any]:
    return [leaf.grad_fn for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor) and leaf.grad_fn]
