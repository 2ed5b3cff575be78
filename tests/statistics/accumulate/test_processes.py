"""Micro-batches on several processes: synchronised layers move by the union of all ranks', others by their own."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import normwise
from tests.support import processes


def _data() -> Tensor:
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(0)) * 2 + 3


def _model(norm: Any) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3), norm(3))


def _train(model: Any, parts: Any) -> dict[str, Tensor]:
    with normwise.accumulate(model):
        for part in parts:
            model(part).square().sum().backward()
        before = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    assert all("mean" not in name or not value.any() for name, value in before.items())
    return copy.deepcopy(model.state_dict())


def _on_rank(rank: int) -> list[dict[str, Tensor]]:
    x = _data()
    own = (x[:3], x[3:6]) if rank == 0 else (x[6:12], x[12:])
    synchronised = _train(_model(normwise.nn.SyncBatchNorm), own)
    whole = _train(DistributedDataParallel(_model(normwise.nn.SyncBatchNorm)), own)
    local = _train(DistributedDataParallel(_model(normwise.nn.BatchNorm1d), broadcast_buffers=False), own)
    return [synchronised, whole, local]


def test_each_rank_has_the_statistics_of_its_union() -> None:
    found = processes.run(_on_rank, 2)
    x = _data()
    for number, rows in enumerate((x, x, None)):
        for rank, states in enumerate(found):
            union = _model(normwise.nn.BatchNorm1d)
            union(rows if rows is not None else (x[:6], x[6:])[rank])
            expected = {name: value for name, value in union.state_dict().items() if name.startswith("1.")}
            state = {name.removeprefix("module."): value for name, value in states[number].items()}
            torch.testing.assert_close({name: state[name] for name in expected}, expected)
