"""Uneven inputs: ranks whose batches are used up, against one process with the samples that there are."""

from itertools import zip_longest
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from normwise.distributed import joined
from normwise.errors import ArgumentError
from normwise.nn import SyncBatchNorm
from tests.support.processes import run


def _stopped_early(rank: int) -> int:
    model = DistributedDataParallel(nn.Sequential(nn.Linear(3, 4), SyncBatchNorm(4)))
    steps: list[int] = []

    def train() -> None:
        with joined(model, throw_on_early_termination=True):
            for step in range(3 - 2 * rank):
                model(torch.randn(4, 3)).square().sum().backward()
                steps.append(step)

    with pytest.raises(RuntimeError, match="exhausted"):
        train()
    # The next epoch.
    model(torch.randn(4, 3)).square().sum().backward()
    return len(steps)


def test_all_ranks_stop_with_the_first_and_can_go_on() -> None:
    assert run(_stopped_early, 2) == [1, 1]


State = dict[str, Tensor]
#: Samples of the batches of each rank.
UNEVEN = [((3, 2, 4), (5,)), ((2, 0), (), (3, 4, 2))]


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    # A layer that is wider than the first messages, too.
    return nn.Sequential(
        nn.Linear(3, 4), SyncBatchNorm(4), nn.Linear(4, 100), SyncBatchNorm(100), nn.Linear(100, 1)
    ).double()


def _batch(rank: int, step: int, samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(100 * rank + step)
    return torch.randn(samples, 3, generator=generator, dtype=torch.float64) + rank


def _train(model: nn.Module, batches: list[Tensor], factors: list[float]) -> State:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, factor in zip(batches, factors, strict=True):
        optimiser.zero_grad()
        (model(x).square().sum() * factor / 10).backward()
        optimiser.step()
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _alone(uneven: tuple[tuple[int, ...], ...]) -> State:
    steps = enumerate(zip_longest(*uneven))
    batches = [
        torch.cat([_batch(rank, step, n) for rank, n in enumerate(samples) if n is not None])
        for step, samples in steps
    ]
    return _train(_net(), batches, [1.0] * len(batches))


def _together(rank: int, uneven: tuple[tuple[int, ...], ...], by_all: bool) -> State:
    model = DistributedDataParallel(_net())
    # Gradients are averaged over all ranks, or over those that have a batch.
    factors = [float(len(uneven) if by_all else sum(len(own) > step for own in uneven)) for step in range(3)]
    batches = [_batch(rank, step, n) for step, n in enumerate(uneven[rank])]
    with joined(model, divide_by_initial_world_size=by_all):
        _train(model, batches, factors[: len(batches)])
    return {name: value.detach().clone() for name, value in model.module.state_dict().items()}


def _both(rank: int, uneven: tuple[tuple[int, ...], ...]) -> list[State]:
    return [_together(rank, uneven, by_all) for by_all in (True, False)]


@pytest.mark.parametrize("uneven", UNEVEN, ids=str)
def test_ranks_with_fewer_batches_leave_the_others_theirs(uneven: tuple[tuple[int, ...], ...]) -> None:
    expected = _alone(uneven)
    for found in (state for of_rank in run(_both, len(uneven), uneven) for state in of_rank):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-10, msg=name)


def test_only_a_data_parallel_model_can_be_joined() -> None:
    with (
        pytest.raises(ArgumentError, match="expected a model in DistributedDataParallel, got Linear"),
        joined(cast("DistributedDataParallel", nn.Linear(1, 1))),
    ):
        pass
