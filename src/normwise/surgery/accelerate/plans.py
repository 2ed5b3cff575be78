"""Plans for forward passes that are to be rewritten, with BN layers and what follows them in one call."""

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

#: By layer, the reason why the forward pass that calls it is not rewritten.
Reasons = dict[nn.Module, str]


@dataclass
class Plan:
    """A forward pass that is to be rewritten.

    Attributes:
        module: The module that has it.
        graph: The new forward pass.
        conditions: Conditions under which the new one does what the old one does.
        inputs: Inputs of the graph, as expressions.
        calls: The decision on each BN layer that it calls; paths are those in the module.
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
        """Return a reason why the forward pass is not rewritten, for each of the layers that it calls."""
        said = f"of {type(self.module).__name__}: {reason}"
        return {self.module.get_submodule(call.path): said for call in self.calls}


def find_plans(
    model: nn.Module, calls: Mapping[nn.Module, Arguments], fusing: Collection[nn.Module]
) -> tuple[list[Plan], Reasons]:
    """Return the forward passes to rewrite, and by layer why the one that calls it is not.

    Args:
        model: The model.
        calls: Arguments of the first call of each module on the example.
        fusing: The BN layers that can compute what follows them.
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
        except Exception as error:  # whatever goes wrong in somebody else's code, the module is left as it is
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
    """Return those of the layers that no module between calls: between are only ones that are never called."""
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
