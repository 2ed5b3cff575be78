"""Parameters of an optimiser."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

from normwise.errors import ArgumentError


@dataclass(frozen=True)
class OptimizerFacts:
    """Groups of an optimiser, in relation to a model.

    Attributes:
        optimizer: Optimiser of the user.
        group_of: Number of the group of each parameter of the model that the optimiser has, by name.
        missing: Names of the parameters that need a gradient and that the optimiser lacks.
        foreign: Shapes of the parameters in each group that do not belong to the model.
    """

    optimizer: Optimizer
    group_of: dict[str, int]
    missing: tuple[str, ...]
    foreign: tuple[tuple[tuple[int, ...], ...], ...]

    def setting(self, parameter: str, name: str, default: float = 0.0) -> float:
        """Return a setting of the group of a parameter, such as ``"weight_decay"``."""
        value = self.optimizer.param_groups[self.group_of[parameter]].get(name, default)
        return float(value) if isinstance(value, (int, float, Tensor)) else default


def optimizer_facts(model: nn.Module, optimizer: Optimizer) -> OptimizerFacts:
    """Return the relation of an optimiser's groups to a model.

    Raises:
        ArgumentError: the argument is not an optimiser.
    """
    if not isinstance(getattr(optimizer, "param_groups", None), list):
        raise ArgumentError(
            f"expected an optimiser of torch.optim, with param_groups, as optimizer, got {type(optimizer).__name__}"
        )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    held = {
        id(parameter): number
        for number, group in enumerate(optimizer.param_groups)
        for parameter in group["params"]
    }
    return OptimizerFacts(
        optimizer,
        {name: held[key] for key, name in names.items() if key in held},
        tuple(
            name
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and id(parameter) not in held
        ),
        tuple(
            tuple(tuple(parameter.shape) for parameter in group["params"] if id(parameter) not in names)
            for group in optimizer.param_groups
        ),
    )
