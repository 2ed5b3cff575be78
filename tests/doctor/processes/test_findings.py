"""A diagnosis of two processes: each planted fault comes first, with the same words on both, and nothing hangs."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, TensorDataset

import normwise
from normwise.doctor import check_every
from normwise.testing import assert_healthy
from tests.doctor.processes.networks import Branching, X, Y, batches, dense, together
from tests.support import processes
from tests.support.untouched import everything_of

Given = tuple[nn.Module, Any, dict[str, Any]]


class _Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Data without a length."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(list(zip(X, Y, strict=True))[: self.count])


class _OwnSync(nn.SyncBatchNorm):
    """A subclass with a forward pass of its own."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.clone())


_LOSS = {"loss": nn.CrossEntropyLoss()}


def _healthy(rank: int) -> Given:
    return dense(nn.BatchNorm1d(8)), batches(rank), _LOSS


def _parallel(rank: int) -> Given:
    return DistributedDataParallel(dense(normwise.nn.SyncBatchNorm(8))), batches(rank), _LOSS


def _divided(rank: int) -> Given:
    data = TensorDataset(X, Y)
    loader = DataLoader(data, 16, sampler=DistributedSampler(data))
    return dense(normwise.nn.SyncBatchNorm(8)), loader, _LOSS


def _other_statistics(rank: int) -> Given:
    return dense(nn.BatchNorm1d(8), X + 2 * rank), None, {}


def _copied_statistics(rank: int) -> Given:
    model = DistributedDataParallel(dense(nn.BatchNorm1d(8)))
    norm = model.module[1]
    norm.running_mean += 0.3 * rank * norm.running_var.sqrt()
    return model, None, {}


def _uneven(rank: int) -> Given:
    return dense(normwise.nn.SyncBatchNorm(8)), batches(rank, count=10 - rank), _LOSS


def _uneven_in_parallel(rank: int) -> Given:
    return DistributedDataParallel(dense(nn.BatchNorm1d(8))), batches(rank, count=10 - rank), _LOSS


def _uneven_apart(rank: int) -> Given:
    return dense(nn.BatchNorm1d(8)), batches(rank, count=10 - rank), _LOSS


def _uneven_streams(rank: int) -> Given:
    loader = DataLoader(_Stream((9 - 4 * rank) * 64), 64)
    return dense(normwise.nn.SyncBatchNorm(8)), loader, _LOSS | {"max_batches": 6}


def _long_streams(rank: int) -> Given:
    loader = DataLoader(_Stream((9 - rank) * 64), 64)
    return dense(normwise.nn.SyncBatchNorm(8)), loader, _LOSS | {"max_batches": 6}


def _branching(rank: int) -> Given:
    return Branching(rank == 1, normwise.nn.SyncBatchNorm), batches(rank), {}


def _branching_of_torch(rank: int) -> Given:
    return Branching(rank == 1, nn.SyncBatchNorm), batches(rank), {}


def _few(rank: int) -> Given:
    return dense(nn.BatchNorm1d(8)), batches(rank, 8), _LOSS


def _few_synchronised(rank: int) -> Given:
    return dense(normwise.nn.SyncBatchNorm(8)), batches(rank, 8), _LOSS


def _one_each(rank: int) -> Given:
    return dense(normwise.nn.SyncBatchNorm(8)), batches(rank, 1), _LOSS


def _one_each_of_torch(rank: int) -> Given:
    return dense(nn.SyncBatchNorm(8)), batches(rank, 1), _LOSS


def _own_sync(rank: int) -> Given:
    return dense(_OwnSync(8)), batches(rank), {}


def _broken_on_one(rank: int) -> Given:
    model = dense(nn.BatchNorm1d(8))
    if rank == 1:
        model.get_buffer("1.running_mean")[3] = torch.nan
    return model, batches(rank), _LOSS


_CASES: dict[str, Callable[[int], Given]] = {
    made.__name__.strip("_"): made
    for made in (
        _healthy, _parallel, _divided, _other_statistics, _copied_statistics, _uneven, _uneven_in_parallel,
        _uneven_apart, _uneven_streams, _long_streams, _branching, _branching_of_torch, _few, _few_synchronised,
        _one_each, _one_each_of_torch, _own_sync, _broken_on_one,
    )
}  # fmt: skip


def _diagnose_all(rank: int) -> dict[str, Any]:
    """Diagnose every case, and return the findings, and whether everything is as it was."""
    found: dict[str, Any] = {}
    for name, case in _CASES.items():
        model, data, options = case(rank)
        before = everything_of(model)
        diagnosis = together(model, data, **options)
        found[name] = diagnosis.findings, everything_of(model) == before, str(diagnosis)
    return found | _alone(rank)


def _alone(rank: int) -> dict[str, Any]:
    """Make calls on one process only, which the other does not come to."""
    found: dict[str, Any] = {}
    if rank == 0:
        for name, norm in (("torch's", nn.SyncBatchNorm(8)), ("ours", normwise.nn.SyncBatchNorm(8))):
            diagnosis = normwise.diagnose(dense(norm), batches(0), loss=nn.CrossEntropyLoss())
            found[f"alone, {name}"] = diagnosis.findings, dict(diagnosis.examination.skipped)
        model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 1)).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with check_every(1, model, optimizer) as check:
            for _ in range(2):
                model(X[:32]).sum().backward()
                optimizer.step()
        found["check_every"] = check.steps
    model, data, options = _few(rank)
    try:
        assert_healthy(model, data, **options, process_group=dist.group.WORLD)
    except AssertionError as error:
        found["assert_healthy"] = str(error)
    return found


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return processes.run(_diagnose_all, 2)


def _notable(found: list[dict[str, Any]], case: str) -> dict[str, str]:
    findings = found[0][case][0]
    return {finding.code: finding.severity for finding in findings if finding.severity != "info"}


@pytest.mark.parametrize("case", _CASES)
def test_both_have_the_same_findings_and_all_is_as_it_was(found: list[dict[str, Any]], case: str) -> None:
    assert found[0][case][0] == found[1][case][0]
    assert found[0][case][1]
    assert found[1][case][1]


@pytest.mark.parametrize("case", ["healthy", "parallel", "divided", "few_synchronised", "long_streams"])
def test_healthy_processes_have_no_fault(found: list[dict[str, Any]], case: str) -> None:
    assert _notable(found, case) == {}, found[0][case][2]


@pytest.mark.parametrize(
    ("case", "code", "severity"),
    [
        ("other_statistics", "BN511", "error"),
        ("copied_statistics", "BN511", "warning"),
        ("uneven", "BN512", "error"),
        ("uneven_in_parallel", "BN512", "error"),
        ("uneven_apart", "BN512", "warning"),
        ("uneven_streams", "BN512", "error"),
        ("branching", "BN513", "error"),
        ("branching_of_torch", "BN513", "error"),
        ("few", "BN514", "warning"),
        ("own_sync", "BN702", "error"),
        ("broken_on_one", "BN203", "error"),
    ],
)
def test_a_planted_fault_comes_first(
    found: list[dict[str, Any]], case: str, code: str, severity: str
) -> None:
    assert next(iter(_notable(found, case).items())) == (code, severity), found[0][case][2]


def test_statistics_name_the_process_that_is_off_and_what_is_copied(found: list[dict[str, Any]]) -> None:
    (finding,) = found[0]["copied_statistics"][0]
    assert "rank 0's are copied over the others" in finding.symptoms[0].detail
    assert 0.1 < finding.symptoms[0].badness < 0.2


def test_batches_that_were_not_counted_to_the_end_are_at_least_as_many(found: list[dict[str, Any]]) -> None:
    evidence = found[0]["uneven_streams"][0][0].symptoms[0].evidence
    assert [(one.label, one.value) for one in evidence] == [
        ("batches on rank 1", 5),
        ("batches at least on rank 0", 7),
    ]


def test_a_branch_is_named_by_layer_and_rank(found: list[dict[str, Any]]) -> None:
    symptom = found[0]["branching"][0][0].symptoms[0]
    assert (symptom.path, symptom.detail) == ("extra.1", "none on rank 0 and 'extra.1' on rank 1")


def test_few_values_say_how_many_there_would_be(found: list[dict[str, Any]]) -> None:
    assert [one.value for one in found[0]["few"][0][0].symptoms[0].evidence] == [8, 16]


@pytest.mark.parametrize("case", ["one_each", "one_each_of_torch"])
def test_one_value_on_each_process_is_as_many_as_there_are_processes(
    found: list[dict[str, Any]], case: str
) -> None:
    assert "BN501" not in _notable(found, case)
    (noisy,) = [finding for finding in found[0][case][0] if finding.code == "BN503"]
    assert noisy.symptoms[0].evidence[2].value == 2


def test_a_finding_of_one_process_says_which(found: list[dict[str, Any]]) -> None:
    (finding,) = [finding for finding in found[0]["broken_on_one"][0] if finding.code == "BN203"]
    assert finding.symptoms[0].detail.startswith("on rank 1 of 2 processes")


def test_a_process_alone_waits_for_nobody(found: list[dict[str, Any]]) -> None:
    findings, skipped = found[0]["alone, ours"]
    assert [finding for finding in findings if finding.severity != "info"] == []
    assert "process_group" in skipped["BN511"]
    assert next(finding.code for finding in found[0]["alone, torch's"][0]) == "BN702"
    assert found[0]["check_every"] == 2


def test_an_assertion_fails_on_all(found: list[dict[str, Any]]) -> None:
    assert all("BN514" in rank["assert_healthy"] for rank in found)
