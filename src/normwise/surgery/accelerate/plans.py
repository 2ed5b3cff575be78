"""Plans for rewriting forward passes, with BN layers fused with the operations after them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn

from normwise.errors import ModelError
from normwise.surgery.accelerate.fuse import FusedCall, fuse
from normwise.surgery.accelerate.guards import Conditions, conditions
from normwise.surgery.accelerate.module_graph import own_forward
from normwise.surgery.accelerate.rewritten import Rewritten, rewrite
from normwise.surgery.core.decision import LeftError, reason_of
from normwise.surgery.core.example_arguments import Arguments

#: Reason why the forward pass that calls a layer is not rewritten, by layer.
Reasons = dict[nn.Module, str]


@dataclass
class Plan:
    """Plan for rewriting a forward pass.

    Attributes:
        module: Module with the forward pass.
        graph: Graph of the new forward pass.
        conditions: Conditions under which the new forward pass is equivalent to the old one.
        inputs: Expressions for the inputs of the graph.
        calls: Decision on each BN layer that it calls, with paths relative to the module.
    """

    module: nn.Module
    graph: fx.Graph
    conditions: Conditions
    inputs: list[str]
    calls: list[FusedCall]

    def rewrite(self) -> None:
        """Rewrite the forward pass of the module."""
        rewrite(self.module, self.graph, self.conditions, self.inputs)

    def reasons(self, reason: str) -> Reasons:
        """Return, for each layer that the forward pass calls, why it is not rewritten."""
        said = f"of {type(self.module).__name__}: {reason}"
        return {self.module.get_submodule(call.path): said for call in self.calls}


def find_plans(
    model: nn.Module, calls: Mapping[nn.Module, Arguments], fusing: Collection[nn.Module]
) -> tuple[list[Plan], Reasons]:
    """Return the forward passes to rewrite, and the reasons of the others by the layers that they call.

    Args:
        model: Model to rewrite.
        calls: Arguments of the first call of each module on the example.
        fusing: BN layers that can fuse the operations after them.
    """
    plans: list[Plan] = []
    reasons: Reasons = {}
    for module in model.modules():
        layers = [child for child in module.modules() if child is not module and child in fusing]
        if not layers or module not in calls:
            continue
        try:
            plan = _plan(module, calls[module])
            if any(call.changed for call in plan.calls):
                plans.append(plan)
            else:
                reasons |= {module.get_submodule(call.path): call.reason for call in plan.calls}
        except Exception as error:  # on any error in the user's code, the module is left unchanged
            known = isinstance(error, (LeftError, ModelError))
            said = reason_of(error) if known else f"{type(error).__name__}: {reason_of(error)}"
            for layer in _called_by(module, layers, calls):
                reasons.setdefault(layer, f"of {type(module).__name__}: {said}")
    return plans, reasons


def _plan(module: nn.Module, arguments: Arguments) -> Plan:
    if isinstance(module, Rewritten):
        raise LeftError("it was accelerated before, and stays so")
    own = own_forward(module, arguments)
    calls = fuse(module, own.graph, own.kinds)
    is_fused = any(call.changed for call in calls)
    asked = conditions(module, own.names, arguments, calls) if is_fused else Conditions()
    return Plan(module, own.graph, asked, _inputs(arguments), calls)


def _called_by(
    module: nn.Module, layers: Iterable[nn.Module], calls: Mapping[nn.Module, Arguments]
) -> list[nn.Module]:
    """Return the layers that the module itself calls: modules between it and them are never called."""
    found: list[nn.Module] = []

    def look(parent: nn.Module) -> None:
        for child in parent.children():
            found.append(child)
            if child not in calls:
                look(child)

    look(module)
    return [layer for layer in layers if layer in found]


def _inputs(arguments: Arguments) -> list[str]:
    args, kwargs = arguments
    positional = [f"args[{number}]" for number, value in enumerate(args) if isinstance(value, Tensor)]
    return positional + [f"kwargs[{name!r}]" for name, value in kwargs.items() if isinstance(value, Tensor)]
