"""Synchronised layers in process groups: of some ranks, destroyed and made again, and several models at once."""

import weakref

import torch
import torch.distributed as dist
from torch import Tensor, nn

from normwise.nn import BatchNorm1d, SyncBatchNorm
from tests.support.processes import run


def _data(ranks: int, seed: int = 0) -> list[Tensor]:
    """Return the batches of the ranks, of unequal sizes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3 + rank, 4, generator=generator) + 5 * rank for rank in range(ranks)]


def _expected(batches: list[Tensor], rank: int) -> Tensor:
    """Return what one process makes of all batches, of which the given one is a rank's."""
    return BatchNorm1d(4)(torch.cat(batches)).split([len(batch) for batch in batches])[rank]


def _in_halves(rank: int) -> tuple[Tensor, Tensor, str]:
    """Return what a layer makes of a batch with the other rank of a half, and a second one with all ranks."""
    # Ranks are in unequal numbers of groups.
    dist.new_group([0])
    halves = [dist.new_group(ranks) for ranks in ([0, 1], [2, 3])]
    half = halves[rank // 2]
    assert isinstance(half, dist.ProcessGroup)
    of_half, of_all = SyncBatchNorm(4, process_group=half), SyncBatchNorm(4)
    of_half.eval()(torch.zeros(2, 4))
    x = _data(4)[rank]
    y = of_half.train()(x)
    return y.detach(), of_all(x).detach(), str(dist.get_world_size(half))


def test_halves_of_the_ranks_have_statistics_of_their_own() -> None:
    batches = _data(4)
    for rank, (of_half, of_all, _) in enumerate(run(_in_halves, 4)):
        first = rank // 2 * 2
        torch.testing.assert_close(of_half, _expected(batches[first : first + 2], rank % 2))
        torch.testing.assert_close(of_all, _expected(batches, rank))


def _again(rank: int) -> list[Tensor]:
    """Return outputs of groups that were destroyed and made again, of a first call in evaluation and of two models."""
    found: list[Tensor] = []
    for step in range(3):
        group = dist.new_group([0, 1])
        assert isinstance(group, dist.ProcessGroup)
        found.append(SyncBatchNorm(4, process_group=group)(_data(2, step)[rank]))
        dist.destroy_process_group(group)
    everybody = SyncBatchNorm(4)
    if rank:
        # Evaluation needs nobody, so that one rank may do it alone.
        everybody.eval()(torch.zeros(2, 4))
    found.append(everybody.train()(_data(2)[rank]))
    models = [nn.Sequential(SyncBatchNorm(4), nn.Linear(4, 4), SyncBatchNorm(4)) for _ in range(2)]
    inputs = [_data(2, seed)[rank].requires_grad_() for seed in range(2)]
    first, second = (model[0](x) for model, x in zip(models, inputs, strict=True))
    found += [first, second]
    # Forward and backward passes of the two by turns.
    models[0][1:](first).square().sum().backward()
    models[1][1:](second).square().sum().backward()
    return [tensor.detach() for tensor in found]


def test_groups_and_models_do_not_get_in_each_others_way() -> None:
    for rank, found in enumerate(run(_again, 2)):
        for seed, y in zip((0, 1, 2, 0, 0, 1), found, strict=True):
            torch.testing.assert_close(y, _expected(_data(2, seed), rank))


def _everything_again(rank: int, folder: str) -> list[Tensor]:
    layer = SyncBatchNorm(4)
    found = [layer(_data(2)[rank])]
    dist.destroy_process_group()
    # Alone it is plain batch normalization.
    found.append(layer(_data(2)[rank]))
    dist.init_process_group("gloo", init_method=f"file://{folder}/again", rank=rank, world_size=2)
    found.append(layer(_data(2, 1)[rank]))
    return [tensor.detach() for tensor in found]


def test_all_processes_may_leave_their_group_and_begin_anew(tmp_path: object) -> None:
    for rank, (before, alone, after) in enumerate(run(_everything_again, 2, str(tmp_path))):
        torch.testing.assert_close(before, _expected(_data(2), rank))
        torch.testing.assert_close(alone, _expected([_data(2)[rank]], 0))
        torch.testing.assert_close(after, _expected(_data(2, 1), rank))


def _destroyed(rank: int) -> list[bool]:
    """Return whether the group is there before and after it is destroyed, with a layer that had a pass in it."""
    world = weakref.ref(dist.distributed_c10d._get_default_group())
    layer = SyncBatchNorm(4)
    layer(_data(2)[rank].requires_grad_()).sum().backward()
    found = [world() is not None]
    dist.destroy_process_group()
    return [*found, world() is not None]


def test_a_group_that_is_destroyed_ends_with_its_threads() -> None:
    """A thread of gloo that lets go of a tensor while Python ends aborts the process."""
    assert run(_destroyed, 2) == [[True, False]] * 2
