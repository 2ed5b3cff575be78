"""Synchronised recurrent layers whose ranks do not meet."""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

import normwise
from normwise.errors import DistributedError
from normwise.nn import BatchNormLSTM
from tests.support.processes import run


def _absent(rank: int) -> str:
    model = nn.Sequential(normwise.convert(BatchNormLSTM(3, 4), "sync", timeout=5.0)[0])
    x = torch.zeros(4, 2, 3)
    model(x)
    if rank == 1:
        dist.barrier()
        return ""
    try:
        model(x)
    except DistributedError as error:
        return str(error)
    finally:
        dist.barrier()
    return "no error"


def test_a_rank_that_does_not_call_is_an_error_that_names_layer_and_rank() -> None:
    message, _ = run(_absent, 2)
    assert message.startswith(
        "BatchNormLSTM '0' (forward pass), rank 0: not all ranks came within 5 s: rank 1 came to no synchronised layer"
    )


def _elsewhere(rank: int) -> str:
    model: Any = normwise.convert(BatchNormLSTM(3, 4, 2), "sync", timeout=20.0)[0]
    if rank == 1:
        normwise.freeze(model.norm_ih_l0)
    try:
        model(torch.zeros(4, 2, 3))
    except DistributedError as error:
        return str(error)
    return "no error"


def test_ranks_whose_norms_differ_are_an_error_that_names_both() -> None:
    for message in run(_elsewhere, 2):
        assert (
            "the ranks are not at the same layer: rank 0 is at SyncStepBatchNorm 'norm_ih_l0', rank 1 is at "
            "SyncStepBatchNorm 'norm_hh_l0'" in message
        )
