"""Synchronised layers in torch's data parallelism, against one process with all samples."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import normwise
from tests.support.processes import run

State = dict[str, Tensor]
SAMPLES = (3, 5)


class Net(nn.Module):
    """A small network with one parameter that may be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.bn2 = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)
        self.unused = nn.Linear(2, 2)
        self.checkpointed = False

    def forward(self, x: Tensor) -> Tensor:
        """One number a sample and class."""
        x = torch.relu(self.bn(self.conv(x)))
        if self.checkpointed:
            return self.rest(checkpoint(self.middle, x, use_reentrant=False))
        return self.rest(self.middle(x))

    def middle(self, x: Tensor) -> Tensor:
        """The part that may be computed twice."""
        return torch.relu(self.bn2(self.conv2(x)))

    def rest(self, x: Tensor) -> Tensor:
        """The rest of the network."""
        return self.head(x.mean((2, 3)))


def _net(synchronised: bool) -> Net:
    torch.manual_seed(0)
    net = Net().double()
    return cast("Net", normwise.convert(net, "sync")[0]) if synchronised else net


def _batches(step: int, samples: tuple[int, ...] = SAMPLES) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(n, 2, 7, 7, generator=generator, dtype=torch.float64) + n for n in samples]


def _step(model: nn.Module, x: Tensor, share: float) -> None:
    """Go forward and backward, with a loss that is a mean over the samples of all ranks."""
    (model(x).exp().sum() * share).backward()


def _state(model: nn.Module) -> State:
    """Return gradients and statistics, under names without those of wrappers."""
    found = {
        **{f"grad {name}": parameter.grad for name, parameter in model.named_parameters()},
        **dict(model.named_buffers()),
    }
    return {
        name.replace("module.", "").replace("_orig_mod.", ""): (
            value.full_tensor() if isinstance(value, DTensor) else value
        ).clone()
        for name, value in found.items()
        if value is not None and "unused" not in name
    }


def _alone(steps: int = 2, samples: tuple[int, ...] = SAMPLES) -> State:
    net = _net(False)
    for step in range(steps):
        whole = torch.cat(_batches(step, samples))
        _step(net, whole, 1 / len(whole))
    return _state(net)


def _two_steps(model: nn.Module, rank: int, first: Any = None) -> State:
    """Return the gradients of two batches added up, the first one within a context."""
    for step, context in enumerate((first or nullcontext(), nullcontext())):
        with context:
            # The gradients are averaged over two ranks.
            _step(model, _batches(step)[rank], 2 / sum(SAMPLES))
    return _state(model)


def plain(rank: int) -> State:
    net = _net(True)
    net.unused.requires_grad_(False)
    return _two_steps(DistributedDataParallel(net), rank)


def accumulated_without_communication(rank: int) -> State:
    net = _net(True)
    net.unused.requires_grad_(False)
    model = DistributedDataParallel(net)
    return _two_steps(model, rank, model.no_sync())


def static_graph(rank: int) -> State:
    return _two_steps(DistributedDataParallel(_net(True), static_graph=True), rank)


def unused_parameters(rank: int) -> State:
    model = DistributedDataParallel(_net(True), find_unused_parameters=True, gradient_as_bucket_view=True)
    return _two_steps(model, rank)


def buffers_of_each_rank(rank: int) -> State:
    model = DistributedDataParallel(_net(True), find_unused_parameters=True, broadcast_buffers=False)
    return _two_steps(model, rank)


def checkpointed(rank: int) -> State:
    net = _net(True)
    net.checkpointed = True
    net.unused.requires_grad_(False)
    return _two_steps(DistributedDataParallel(net), rank)


def compiled_before(rank: int) -> State:
    net = _net(True)
    net.unused.requires_grad_(False)
    compiled = cast("nn.Module", torch.compile(net, backend="aot_eager"))
    return _two_steps(DistributedDataParallel(compiled), rank)


def compiled_after(rank: int) -> State:
    net = _net(True)
    net.unused.requires_grad_(False)
    compiled = torch.compile(DistributedDataParallel(net), backend="aot_eager")
    return _two_steps(cast("nn.Module", compiled), rank)


def accelerated(rank: int) -> State:
    net = _net(True)
    net.unused.requires_grad_(False)
    fast, report = normwise.accelerate(net, torch.randn(2, 2, 7, 7, dtype=torch.float64))
    assert "bn2: normwise's already, took over the activation 'relu'" in str(report)
    return _two_steps(DistributedDataParallel(fast), rank)


def accelerated_first(rank: int) -> State:
    fast, report = normwise.accelerate(_net(False), torch.randn(2, 2, 7, 7, dtype=torch.float64))
    assert "bn2: replaced, took over the activation 'relu'" in str(report)
    synchronised, _ = normwise.convert(fast, "sync")
    synchronised.get_submodule("unused").requires_grad_(False)
    return _two_steps(DistributedDataParallel(synchronised), rank)


def sharded(rank: int) -> State:
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
    net = _net(True)
    net.unused.requires_grad_(False)
    for part in (net.conv, net.bn, net.conv2, net.bn2, net.head):
        fully_shard(part, mesh=mesh)
    fully_shard(net, mesh=mesh)
    return _two_steps(net, rank)


CASES: list[Callable[[int], State]] = [
    plain,
    accumulated_without_communication,
    static_graph,
    unused_parameters,
    buffers_of_each_rank,
    checkpointed,
    compiled_before,
    compiled_after,
    accelerated,
    accelerated_first,
    sharded,
]


def _all_cases(rank: int) -> list[State]:
    return [case(rank) for case in CASES]


@pytest.fixture(scope="module")
def of_ranks() -> list[list[State]]:
    """Return what each rank computed in each case."""
    return run(_all_cases, 2, timeout=900.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_ranks_train_as_one_process_with_all_samples(
    of_ranks: list[list[State]], case: Callable[[int], State]
) -> None:
    expected = _alone()
    for of_cases in of_ranks:
        found = of_cases[CASES.index(case)]
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-11, msg=name)
