"""Gradient accumulation with recurrent layers that are synchronised over two processes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.nn import BatchNormLSTM
from tests.support.processes import run

#: Lengths of the sequences of each micro-batch, on each rank; there are as many on both.
LENGTHS = [[[5, 2], [3, 3]], [[1, 1], [4, 2]]]


def _micro_batch(number: int, rank: int | None) -> tuple[Tensor, Tensor]:
    """Return ``(L, N, F)`` and lengths; those of all ranks with None."""
    generator = torch.Generator().manual_seed(number)
    frames = torch.randn(5, 4, 3, generator=generator, dtype=torch.float64)
    lengths = torch.tensor(LENGTHS[number]).flatten()
    rows = slice(None) if rank is None else slice(2 * rank, 2 * rank + 2)
    return frames[:, rows], lengths[rows]


def _model(rank: int | None) -> Any:
    model = BatchNormLSTM(3, 4, max_length=4, bidirectional=True, dtype=torch.float64)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model if rank is None else normwise.convert(model, "sync")[0]


def _loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return model(batch[0], lengths=batch[1])[0].square().sum()


def _loss_of_full_length(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return model(batch[0])[0].square().sum()


def _result(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return model.state_dict(), {name: parameter.grad for name, parameter in model.named_parameters()}


def _on_rank(rank: int | None) -> list[tuple[dict[str, Tensor], dict[str, Any]]]:
    batches = [_micro_batch(number, rank) for number in range(2)]
    accumulated, exact = _model(rank), _model(rank)
    with normwise.accumulate(accumulated):
        for batch in batches:
            _loss(accumulated, batch).backward()
    normwise.statistics.backward_of_union(exact, batches, _loss_of_full_length, weights=[1.0, 1.0])
    return [_result(accumulated), _result(exact)]


@pytest.fixture(scope="module")
def ranks() -> list[Any]:
    return run(_on_rank, 2)


@pytest.mark.parametrize("way", [0, 1], ids=["accumulate", "backward_of_union"])
def test_micro_batches_of_all_ranks_are_those_of_one_process(ranks: list[Any], way: int) -> None:
    state, gradients = _on_rank(None)[way]
    for of_rank in ranks:
        for name, value in state.items():
            torch.testing.assert_close(of_rank[way][0][name], value, atol=1e-9, rtol=1e-9)
    for name, value in gradients.items():
        summed = ranks[0][way][1][name] + ranks[1][way][1][name]
        torch.testing.assert_close(summed, value, atol=1e-9, rtol=1e-9)
