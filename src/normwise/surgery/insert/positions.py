"""Positions in a model at which a norm can be inserted."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from normwise.surgery.core.decision import LeftError
from normwise.surgery.insert.consumers import LAYERS, Consumer, LayerUse

#: Modules whose inner layers have other normalization, or are called in a loop.
_ENCLOSING = (
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)


@dataclass(frozen=True)
class Position:
    """Position directly after a module, at which a norm can be inserted.

    Attributes:
        path: Path of the module.
        holder: Module that has it as a child.
        name: Name of the module in its holder.
        layer: Convolution or linear layer whose outputs are normalised.
        shape: Shape of the values at the position, on the example.
        in_sequence: Whether ``holder`` is a sequence that is called as a whole, in which the norm can be the next
            entry.
    """

    path: str
    holder: nn.Module
    name: str
    layer: nn.Module
    shape: torch.Size
    in_sequence: bool


class Positions:
    """Positions for norms after the convolutions and linear layers of a model, by the consumers of their outputs."""

    def __init__(self, model: nn.Module, uses: Mapping[nn.Module, LayerUse]) -> None:
        self.uses = uses
        self.paths = {module: path for path, module in model.named_modules()}
        self.enclosing = {
            inner: outer
            for outer in model.modules()
            if isinstance(outer, _ENCLOSING)
            for inner in outer.modules()
            if inner is not outer
        }
        self.holders: dict[nn.Module, list[tuple[nn.Module, str]]] = defaultdict(list)
        for module in model.modules():
            for name, child in module._modules.items():
                if child is not None:
                    self.holders[child].append((module, name))

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield each convolution and linear layer, with its path."""
        return ((path, module) for module, path in self.paths.items() if isinstance(module, LAYERS))

    def after(self, layer: nn.Module) -> Position:
        """Return the position directly after the layer.

        Raises:
            LeftError: there is no such position.
        """
        self._check(layer)
        return self._position(layer, layer)

    def after_activation(self, layer: nn.Module) -> Position:
        """Return the position directly after the activation of the layer's output.

        Raises:
            LeftError: there is no such position.
        """
        self._check(layer)
        activations = {
            consumer.module
            for consumer in self.uses[layer].consumers
            if consumer.kind == "activation" and consumer.module is not None
        }
        if not activations:
            raise LeftError(
                "it goes into no activation that is a module, behind which a norm could stand; make functions such as "
                "F.relu layers of the model, such as nn.ReLU()"
            )
        if len(activations) > 1:
            raise LeftError(f"it goes into {len(activations)} activations")
        (activation,) = activations
        name = f"{self.named(activation)}, into which it goes,"
        if self.uses[activation].output != self.uses[layer].output:
            raise LeftError(f"{name} sees another shape")
        self._check_used_once(activation, name)
        return self._position(activation, layer)

    def named(self, module: nn.Module) -> str:
        """Return the class and the path of a module."""
        return f"{type(module).__name__} {self.paths[module]!r}"

    def _check(self, layer: nn.Module) -> None:
        use = self.uses[layer]
        if layer in self.enclosing:
            raise LeftError(f"it is a part of {self.named(self.enclosing[layer])}")
        if not use.calls:
            raise LeftError("the example does not reach it")
        self._check_used_once(layer, "it")
        if not use.followed:
            raise LeftError(
                "autograd does not see its output: it is calculated without gradients, or in complex numbers"
            )
        _check_shape(layer, use.output)
        self._check_consumers(use.consumers)

    def _check_used_once(self, module: nn.Module, name: str) -> None:
        calls, holders = self.uses[module].calls, len(self.holders[module])
        if calls != 1:
            raise LeftError(
                f"{name} is called {calls} times, as in a recurrent network, and one norm would mix what each call "
                "gives"
            )
        if holders > 1:
            raise LeftError(f"{name} is a part of {holders} modules, which would all get the norm")

    def _check_consumers(self, consumers: Collection[Consumer]) -> None:
        kinds = {consumer.kind for consumer in consumers} - {"activation"}
        if "output" in kinds:
            raise LeftError("its output reaches the model's with no other layer in between")
        if "attention" in kinds:
            raise LeftError("it goes into a softmax or a product of activations, as in attention")
        norms = [consumer for consumer in consumers if consumer.kind == "norm"]
        if kinds == {"norm"} or any(norm.direct for norm in norms):
            names = {"a function" if norm.module is None else self.named(norm.module) for norm in norms}
            raise LeftError(f"{' and '.join(sorted(names))} normalises it")
        if not kinds:
            raise LeftError("nothing that can be followed uses it")

    def _position(self, module: nn.Module, layer: nn.Module) -> Position:
        holder, name = self.holders[module][0]
        # A sequence that is not called as a whole may be indexed, and the norm would shift the indices.
        in_sequence = (
            type(holder) is nn.Sequential
            and self.uses[holder].calls == 1
            and f"{name}_norm" not in holder._modules
        )
        return Position(self.paths[module], holder, name, layer, self.uses[module].output, in_sequence)


def _check_shape(layer: nn.Module, shape: torch.Size) -> None:
    expected = 2 + len(layer.kernel_size) if isinstance(layer, nn.modules.conv._ConvNd) else 2
    if len(shape) < expected:
        raise LeftError(f"its output of shape {tuple(shape)} has no batch axis")
    if len(shape) > expected:
        raise LeftError(
            f"its output of shape {tuple(shape)} has its channels on the last axis, and BN has them on axis 1: a "
            "LayerNorm, or a Conv1d with kernel size 1, fits there"
        )
