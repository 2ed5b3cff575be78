"""Networks and data of two processes for the tests of the doctor."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

import normwise
from normwise.doctor import Diagnosis

X = torch.randn(1280, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(1280) % 3


def dense(norm: nn.Module, data: Tensor = X) -> nn.Sequential:
    """Return a network in evaluation whose norm has the statistics of some data; alike on all processes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        inputs = model[0](data)
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(inputs.mean(0))
    norm.running_var.copy_(inputs.var(0))
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.fill_(100)
    return model.eval()


def batches(rank: int, size: int = 32, count: int = 10) -> list[tuple[Tensor, Tensor]]:
    """Return batches of a process, with targets."""
    whole = list(zip(X.split(size), Y.split(size), strict=True))
    return whole[rank::2][:count]


class Branching(nn.Module):
    """A network with a branch that some processes take."""

    def __init__(self, takes: bool, norm: type[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Linear(4, 8, bias=False), norm(8), nn.ReLU())
        self.extra = nn.Sequential(nn.Linear(8, 8, bias=False), norm(8), nn.ReLU())
        self.last = nn.Linear(8, 3)
        self.takes = takes

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x + self.extra(x) if self.takes else x)


def together(model: nn.Module, data: Any = None, **options: Any) -> Diagnosis:
    """Diagnose on all processes."""
    return normwise.diagnose(model, data, process_group=dist.group.WORLD, timeout=60.0, **options)
