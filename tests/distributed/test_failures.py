"""Ranks that do different things: an error that names layer and rank within the timeout, never a hang."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from normwise.errors import DistributedError, NormwiseError
from normwise.nn import SyncBatchNorm
from tests.support.processes import Died, run, run_each

TIMEOUT = 5.0


class Net(nn.Module):
    """Three synchronised layers, called in the order that the caller says."""

    def __init__(self, group: dist.ProcessGroup | None, *channels: int) -> None:
        super().__init__()
        self.channels = dict(zip("abc", channels, strict=True))
        self.layers = nn.ModuleDict(
            {
                name: SyncBatchNorm(width, process_group=group, timeout=TIMEOUT)
                for name, width in self.channels.items()
            }
        )

    def forward(self, x: Tensor, order: str) -> Tensor:
        """The sum of what the layers make of the channels that they have."""
        parts = [self.layers[name](x[:, : self.channels[name]]).square().sum() for name in order]
        return torch.stack(parts).sum()


def _batch() -> Tensor:
    x = torch.randn(4, 300, generator=torch.Generator().manual_seed(dist.get_rank()))
    # Without a gradient of the input nothing needs to be exchanged backward.
    return x.requires_grad_()


def a_rank_skips_a_layer(rank: int, group: dist.ProcessGroup) -> None:
    Net(group, 8, 8, 8)(_batch(), "ac" if rank else "abc")


def a_rank_skips_a_layer_of_other_width(rank: int, group: dist.ProcessGroup) -> None:
    Net(group, 8, 300, 100)(_batch(), "ac" if rank else "abc")


def a_rank_calls_in_another_order(rank: int, group: dist.ProcessGroup) -> None:
    Net(group, 8, 300, 100)(_batch(), "acb" if rank else "abc")


def a_rank_skips_the_last_layer(rank: int, group: dist.ProcessGroup) -> None:
    Net(group, 8, 8, 8)(_batch(), "ab" if rank else "abc").backward()


def a_rank_has_fewer_batches(rank: int, group: dist.ProcessGroup) -> None:
    net = Net(group, 8, 8, 8)
    for _ in range(2 - rank):
        net(_batch(), "abc").backward()


def a_rank_has_no_batch_at_all(rank: int, group: dist.ProcessGroup) -> None:
    a_rank_has_fewer_batches(2 * rank, group)


def a_rank_gets_an_error_of_its_own(rank: int, group: dist.ProcessGroup) -> None:
    net = Net(group, 8, 8, 8)
    net(_batch(), "a")
    net(_batch()[:, :5] if rank else _batch(), "abc")


def a_rank_goes_backward_while_another_goes_forward(rank: int, group: dist.ProcessGroup) -> None:
    net = Net(group, 8, 8, 8)
    loss = net(_batch(), "a")
    if rank:
        net(_batch(), "b")
    loss.backward()


def a_branch_depends_on_the_rank(rank: int, group: dist.ProcessGroup) -> None:
    class Branched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net(group, 8, 8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x, "abc" if dist.get_rank() else "ab")

    DistributedDataParallel(Branched(), process_group=group)(_batch()).backward()


def losses_go_backward_in_another_order(rank: int, group: dist.ProcessGroup) -> None:
    net = Net(group, 8, 8, 8)
    losses = [net(_batch() + shift, "a") for shift in (0, 1)]
    for loss in losses[:: -1 if rank else 1]:
        loss.backward()


def a_lost_group_is_used_again(rank: int, group: dist.ProcessGroup) -> None:
    net = Net(group, 8, 8, 8)
    with suppress(DistributedError):
        net(_batch(), "a" * (2 - rank))
    if rank:
        # It is late, and takes the message of before for the other's answer.
        time.sleep(TIMEOUT + 6)
    net(_batch(), "a")


def two_threads_call_at_once(rank: int, group: dist.ProcessGroup) -> None:
    net = Net(group, 8, 8, 8)
    net(_batch(), "a")
    if rank:
        time.sleep(2.0)
        net(_batch(), "a")
        return
    thread = threading.Thread(target=lambda: net(_batch(), "a"))
    thread.start()
    time.sleep(0.5)
    try:
        net(_batch(), "a")
    finally:
        thread.join()


def no_member_calls(rank: int, group: dist.ProcessGroup) -> None:
    del group
    alone = dist.new_group([0])
    Net(cast("dist.ProcessGroup", alone), 8, 8, 8)(_batch(), "abc").backward()


#: Words of the error of each rank; None where there is none.
CASES: dict[Callable[[int, dist.ProcessGroup], None], tuple[str | None, str | None]] = {
    a_rank_skips_a_layer: (
        "'layers.b' (forward pass): the ranks are not at the same layer: rank 0 is at SyncBatchNorm 'layers.b', rank 1 "
        "is at SyncBatchNorm 'layers.c'",
        "'layers.c' (forward pass): the ranks are not at the same layer: rank 0 is at SyncBatchNorm 'layers.b'",
    ),
    a_rank_skips_a_layer_of_other_width: (
        "'layers.b' (forward pass): the ranks are not at the same layer",
        "'layers.c' (forward pass): the ranks are not at the same layer",
    ),
    a_rank_calls_in_another_order: (
        "'layers.b' (forward pass): the ranks are not at the same layer",
        "'layers.c' (forward pass): the ranks are not at the same layer",
    ),
    a_rank_skips_the_last_layer: (
        "'layers.c' (forward pass), rank 0: not all ranks came within 5 s: rank 1 is at SyncBatchNorm 'layers.b' "
        "(backward pass)",
        "'layers.b' (backward pass), rank 1: not all ranks came within 5 s: rank 0 is at SyncBatchNorm 'layers.c' "
        "(forward pass)",
    ),
    a_rank_has_fewer_batches: (
        "'layers.a' (forward pass), rank 0: not all ranks came within 5 s: rank 1 came to no synchronised layer",
        None,
    ),
    a_rank_has_no_batch_at_all: (
        "'layers.a' (forward pass), rank 0: not all ranks came within 5 s: rank 1 came to no synchronised layer",
        None,
    ),
    a_rank_gets_an_error_of_its_own: (
        "'layers.a' (forward pass), rank 0: not all ranks came within 5 s: rank 1 came to no synchronised layer",
        "'layers.a': expected 8 channels, got 5",
    ),
    a_rank_goes_backward_while_another_goes_forward: (
        "'layers.a' (backward pass), rank 0: not all ranks came within 5 s: rank 1 is at SyncBatchNorm 'layers.b' "
        "(forward pass)",
        "'layers.b' (forward pass), rank 1: not all ranks came within 5 s: rank 0 is at SyncBatchNorm 'layers.a' "
        "(backward pass)",
    ),
    a_branch_depends_on_the_rank: (
        "layers.b' (backward pass), rank 0: not all ranks came within 5 s: rank 1 is at SyncBatchNorm",
        "layers.c' (forward pass), rank 1: not all ranks came within 5 s: rank 0 is at SyncBatchNorm",
    ),
    losses_go_backward_in_another_order: (
        "'layers.a' (backward pass): the ranks go backward through different calls: rank 0 is at SyncBatchNorm "
        "'layers.a', call 1, rank 1 is at SyncBatchNorm 'layers.a', call 2",
        "the ranks go backward through different calls",
    ),
    a_lost_group_is_used_again: (
        "'layers.a' (forward pass), rank 0: the ranks lost one another before, at SyncBatchNorm 'layers.a' (forward "
        "pass). Start all processes again",
        None,
    ),
    two_threads_call_at_once: ("two threads of this process call synchronised layers at once", None),
    no_member_calls: (None, "rank 1 is not in the layer's process group"),
}


def _failures(rank: int) -> list[tuple[str | None, float]]:
    """Return the error of each case, and how long it took."""
    found: list[tuple[str | None, float]] = []
    for case in CASES:
        group = dist.new_group([0, 1])
        assert isinstance(group, dist.ProcessGroup)
        dist.barrier()
        begun, error = time.monotonic(), None
        try:
            case(rank, group)
        except NormwiseError as caught:
            error = str(caught)
        found.append((error, time.monotonic() - begun))
        dist.barrier()
    return found


def test_each_rank_gets_an_error_that_names_layer_and_ranks_within_the_timeout() -> None:
    results = run(_failures, 2, timeout=600.0)
    for case, *of_ranks in zip(CASES, *results, strict=True):
        for (error, seconds), words in zip(of_ranks, CASES[case], strict=True):
            label = f"{case.__name__}: {error}"
            if words is None:
                assert error is None, label
            else:
                assert words in (error or ""), label
            # A rank waits, and then asks where the others are; the machine may be busy.
            assert seconds < 60, f"{label} after {seconds:.0f} s"


def _killed(rank: int, victim: int, port: int) -> str:
    # A store that the first rank keeps, as torchrun's is, goes with it.
    dist.destroy_process_group()
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=3)
    net = Net(None, 8, 8, 8)
    for step in range(3):
        loss = net(_batch(), "ab")
        if (rank, step) == (victim, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        loss.backward()
    return "no error"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("victim", [0, 1])
def test_ranks_are_told_of_one_that_was_killed(victim: int) -> None:
    results = run_each(_killed, 3, victim, _free_port())
    for rank, result in enumerate(results):
        assert isinstance(result, Died)
        if rank == victim:
            assert "-9" in result
        else:
            assert "DistributedError: SyncBatchNorm 'layers.b' (backward pass), rank" in result
