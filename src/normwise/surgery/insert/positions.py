"""Where in a model a norm can be put, and why not where it can't."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from normwise.surgery.insert.consumers import LAYERS, Consumer, LayerUse

#: In these, layers are called as a part of something that has its own ways to normalise, or that loops.
_ENCLOSING = (
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)


@dataclass(frozen=True)
class Position:
    """A module behind which a norm can be put.

    Attributes:
        path: Of that module.
        holder, name: Where it is in the model: the module that has it, and by which name.
        layer: The convolution or linear layer whose outputs are to be normalised.
        shape: Of the values there, on the example.
        in_sequence: Whether ``holder`` is a sequence that is called as one, and where the norm can be the next.
    """

    path: str
    holder: nn.Module
    name: str
    layer: nn.Module
    shape: torch.Size
    in_sequence: bool


class Positions:
    """What the values' ways through a model say about its convolutions and linear layers."""

    def __init__(self, model: nn.Module, reached: Mapping[nn.Module, LayerUse]) -> None:
        self.reached = reached
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
        """Each convolution and linear layer, by path."""
        return ((path, module) for module, path in self.paths.items() if isinstance(module, LAYERS))

    def behind(self, layer: nn.Module) -> Position | str:
        """The place behind the layer, or why there is none."""
        return self._obstacle(layer) or self._place(layer, layer)

    def after_activation(self, layer: nn.Module) -> Position | str:
        """The place behind the activation that the layer's output goes into, or why there is none."""
        if reason := self._obstacle(layer):
            return reason
        goals = self.reached[layer].goals
        activations = {goal.module for goal in goals if goal.kind == "activation" and goal.module is not None}
        if not activations:
            return (
                "it goes into no activation that is a module, behind which a norm could stand; make functions such as "
                "F.relu layers of the model, such as nn.ReLU()"
            )
        if len(activations) > 1:
            return f"it goes into {len(activations)} activations"
        (activation,) = activations
        if self.reached[activation].output != self.reached[layer].output:
            return f"{self.named(activation)}, into which it goes, sees another shape"
        if times := self._times(activation):
            return f"{self.named(activation)}, into which it goes, is {times}"
        return self._place(activation, layer)

    def named(self, module: nn.Module) -> str:
        """Class and path."""
        return f"{type(module).__name__} {self.paths[module]!r}"

    def _obstacle(self, layer: nn.Module) -> str:
        reached = self.reached[layer]
        if layer in self.enclosing:
            return f"it is a part of {self.named(self.enclosing[layer])}"
        if not reached.calls:
            return "the example does not reach it"
        if times := self._times(layer):
            return f"it is {times}"
        if not reached.followed:
            return (
                "autograd does not see its output: it is calculated without gradients, or in complex numbers"
            )
        return _of_shape(layer, reached.output) or self._of_goals(reached.goals)

    def _times(self, module: nn.Module) -> str:
        if (calls := self.reached[module].calls) != 1:
            return f"called {calls} times, as in a recurrent network, and one norm would mix what each call gives"
        if (places := len(self.holders[module])) > 1:
            return f"a part of {places} modules, which would all get the norm"
        return ""

    def _of_goals(self, goals: set[Consumer]) -> str:
        kinds = {goal.kind for goal in goals} - {"activation"}
        if "output" in kinds:
            return "it gives the model's output, with no other layer behind it"
        if "attention" in kinds:
            return "it goes into a softmax or a product of activations, as in attention"
        norms = [goal for goal in goals if goal.kind == "norm"]
        if kinds == {"norm"} or any(goal.direct for goal in norms):
            names = {"a function" if goal.module is None else self.named(goal.module) for goal in norms}
            return f"{' and '.join(sorted(names))} normalises it"
        return "" if kinds else "nothing that can be followed uses it"

    def _place(self, module: nn.Module, layer: nn.Module) -> Position:
        holder, name = self.holders[module][0]
        # A sequence that is not called as one may be indexed, and the norm would be behind another index.
        in_sequence = type(holder) is nn.Sequential and self.reached[holder].calls == 1
        in_sequence &= f"{name}_norm" not in holder._modules
        return Position(self.paths[module], holder, name, layer, self.reached[module].output, in_sequence)


def _of_shape(layer: nn.Module, shape: torch.Size) -> str:
    expected = 2 + len(layer.kernel_size) if isinstance(layer, nn.modules.conv._ConvNd) else 2
    if len(shape) == expected:
        return ""
    if len(shape) < expected:
        return f"its output of shape {tuple(shape)} has no batch axis"
    return (
        f"its output of shape {tuple(shape)} has its channels on the last axis, and BN has them on axis 1: a "
        "LayerNorm, or a Conv1d with kernel size 1, fits there"
    )
