"""Networks that get norms, and what a report and a network say of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.records import Insertion

X = 3 + torch.randn(16, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Net(nn.Module):
    """Layers ``a``, ``b`` and ``last``, and an activation, in a forward of the given kind."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **more: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.last = nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1), nn.Conv1d(4, 3, 1)
        self.relu, self.how = nn.ReLU(), forward
        for name, module in more.items():
            self.add_module(name, module)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


def plain_net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 8, 3), nn.ReLU(), nn.Conv1d(8, 6, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5),
        nn.Tanh(), nn.Linear(5, 2),
    ).double()  # fmt: skip


def written_net() -> Any:
    """A forward of its own, with functions for activations."""
    return Net(written_forward)


def written_forward(net: Any, x: Tensor) -> Tensor:
    return net.last(F.relu(net.b(F.relu(net.a(x)))))


def insert_norms(model: nn.Module, example: Any, **options: Any) -> tuple[Any, Insertion]:
    return normwise.insert(model, example, **options)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def reasons_of(report: Insertion) -> dict[str, str]:
    return {change.path: change.detail for change in report.changes if not change.changed}


def inserted_paths(report: Insertion) -> list[str]:
    return [change.path for change in report.changes if change.changed]


def norms_of(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
