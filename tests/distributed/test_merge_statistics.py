"""Running statistics of ranks, merged."""

import pytest
import torch
from torch import nn

import normwise
from normwise.errors import ArgumentError
from normwise.statistics import Moments, merge_statistics
from tests.support.processes import Died, run, run_each


def _data(rank: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(20 + 30 * rank, 3, generator=generator, dtype=torch.float64) * (1 + rank) + 7 * rank


def _trained(rank: int) -> dict[str, torch.Tensor]:
    frozen = normwise.nn.BatchNorm1d(3, momentum=1.0)
    frozen(torch.full((2, 3), float(rank)))
    normwise.freeze(frozen)
    model = nn.Sequential(
        nn.BatchNorm1d(3, momentum=1.0), normwise.nn.BatchNorm1d(3, momentum=None), frozen
    ).double()
    model[0](_data(rank))
    for _ in range(rank + 1):
        model[1](_data(rank))
    merge_statistics(model, samples=len(_data(rank)))
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def test_merged_statistics_are_those_of_all_data() -> None:
    ranks = run(_trained, 3)
    counts = [len(_data(rank)) for rank in range(3)]
    for layer, weights in (("0", counts), ("1", [count * (rank + 1) for rank, count in enumerate(counts)])):
        shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        means = torch.stack([_data(rank).mean(0) for rank in range(3)])
        variances = torch.stack([_data(rank).var(0) for rank in range(3)])
        mean = shares @ means
        for found in ranks:
            torch.testing.assert_close(found[f"{layer}.running_mean"], mean)
            torch.testing.assert_close(
                found[f"{layer}.running_var"], shares @ (variances + (means - mean).square())
            )
    assert [int(found["1.num_batches_tracked"]) for found in ranks] == [3, 3, 3]
    assert [found["2.running_mean"][0].item() for found in ranks] == [0, 1, 2]


def _other_layers(rank: int) -> None:
    merge_statistics(nn.Sequential(*[nn.BatchNorm1d(3) for _ in range(1 + rank)]))


def _unused_rank(rank: int) -> list[float]:
    layer = nn.BatchNorm1d(1, momentum=1.0)
    if rank == 0:
        nn.init.constant_(layer.get_buffer("running_mean"), float("nan"))
    if rank == 1:
        layer(torch.tensor([[1.0], [3.0]]))
    merge_statistics(layer)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return [layer.running_mean.item(), layer.running_var.item(), int(layer.num_batches_tracked or 0)]


def _wrong_samples(rank: int) -> None:
    merge_statistics(nn.BatchNorm1d(3), samples=rank)


def test_a_wrong_number_of_samples_on_one_rank_is_an_error_on_all() -> None:
    for text in run_each(_wrong_samples, 2):
        assert isinstance(text, Died)
        assert "rank 0: samples must be positive, got 0" in text


def test_other_layers_are_an_error_on_all_ranks() -> None:
    for text in run_each(_other_layers, 2):
        assert isinstance(text, Died)
        assert "other BN layers with statistics to merge: 1 on rank 1 only" in text


def test_a_rank_without_batches_has_no_weight() -> None:
    assert run(_unused_rank, 2) == [[2.0, 2.0, 1]] * 2


def test_alone_nothing_changes() -> None:
    layer = nn.BatchNorm1d(3)
    before = Moments.none(3).mean
    merge_statistics(layer)
    assert layer.running_mean is not None
    assert torch.equal(layer.running_mean.double(), before)
    with pytest.raises(ArgumentError, match="samples must be positive, got 0"):
        merge_statistics(layer, samples=0)
