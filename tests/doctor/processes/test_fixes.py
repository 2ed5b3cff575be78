"""Fixes of two processes: applied and proven on both, with the data of both, or on neither."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import normwise
from normwise.doctor.rules.statistics.stale_statistics import StaleStatistics
from normwise.errors import DistributedError
from normwise.surgery.core.decision import LeftError
from tests.doctor.processes.networks import X, batches, dense, together
from tests.support import processes
from tests.support.untouched import everything_of


def _unmerged(rank: int) -> nn.Module:
    """Return a network whose norm saw one half of the data on each process."""
    return dense(nn.BatchNorm1d(8), X[rank * 640 :][:640] + 2 * rank)


def _unmerged_in_parallel(rank: int) -> nn.Module:
    model = DistributedDataParallel(dense(nn.BatchNorm1d(8)))
    model.module[1].load_state_dict(_unmerged(rank).get_submodule("1").state_dict())
    return model


def _frozen_apart(rank: int) -> nn.Module:
    model = _unmerged(rank)
    normwise.freeze(model)
    return model


def _stale(rank: int) -> nn.Module:
    return dense(nn.BatchNorm1d(8), 5 * X + 3)


def _of_torch(rank: int) -> nn.Module:
    return dense(nn.SyncBatchNorm(8, process_group=dist.group.WORLD))


def _healed(
    made: Callable[[int], nn.Module], rank: int, data: Any, code: str, **options: Any
) -> dict[str, Any]:
    model = made(rank)
    before = everything_of(model)
    diagnosis = together(model, data, select=[code])
    healed, treatment = diagnosis.fix(**options)
    norm = next(module for module in healed.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    return {
        "codes": [finding.code for finding in diagnosis.findings],
        "proven": treatment.proven,
        "said": str(treatment),
        "after": [finding.code for finding in treatment.after.findings],
        "same object": healed is model,
        "untouched": everything_of(model) == before,
        "kind": type(norm).__module__ + "." + type(norm).__name__,
        "statistics": (norm.get_buffer("running_mean"), norm.get_buffer("running_var")),
    }


def _fail_on_one(rank: int) -> dict[str, Any]:
    def heal(self: Any, facts: Any, model: nn.Module, symptoms: Any) -> str:
        model.get_buffer("1.running_mean").zero_()
        if rank == 1:
            raise LeftError("it is Sunday here")
        return "done"

    kept, StaleStatistics.heal = StaleStatistics.heal, heal
    model = _stale(rank)
    before = everything_of(model)
    diagnosis = together(model, batches(rank), select=["BN201"])
    said = []
    try:
        for inplace in (False, True):
            try:
                diagnosis.fix(inplace=inplace)
            except DistributedError as error:
                said.append(str(error))
    finally:
        StaleStatistics.heal = kept
    return {"said": said, "untouched": everything_of(model) == before}


def _fix_all(rank: int) -> dict[str, Any]:
    return {
        "merged": _healed(_unmerged, rank, None, "BN511"),
        "merged in parallel": _healed(_unmerged_in_parallel, rank, None, "BN511"),
        "merged in place": _healed(_unmerged, rank, None, "BN511", inplace=True),
        "calibrated": _healed(_stale, rank, batches(rank, 32, 20), "BN201"),
        "synchronised": _healed(_of_torch, rank, batches(rank), "BN702"),
        "frozen": _healed(_frozen_apart, rank, None, "BN511"),
        "failed": _fail_on_one(rank),
    }


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return processes.run(_fix_all, 2)


_FIXED = ["merged", "merged in parallel", "merged in place", "calibrated", "synchronised"]


@pytest.mark.parametrize("case", _FIXED)
def test_both_processes_are_healed_alike(found: list[dict[str, Any]], case: str) -> None:
    first, second = (rank[case] for rank in found)
    assert first["codes"]
    assert first["proven"], first["said"]
    assert first["after"] == []
    assert {key: first[key] for key in ("codes", "proven", "said", "kind")} == {
        key: second[key] for key in ("codes", "proven", "said", "kind")
    }
    for own, other in zip(first["statistics"], second["statistics"], strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", _FIXED)
def test_a_copy_is_healed_unless_asked_otherwise(found: list[dict[str, Any]], case: str) -> None:
    inplace = case == "merged in place"
    assert all(rank[case]["same object"] == inplace for rank in found)
    assert all(rank[case]["untouched"] == (not inplace) for rank in found)


def _inputs(data: Tensor) -> Tensor:
    return dense(nn.BatchNorm1d(8)).get_submodule("0")(data)


@pytest.mark.parametrize("case", ["merged", "merged in parallel", "merged in place"])
def test_merged_statistics_are_those_of_all_data(found: list[dict[str, Any]], case: str) -> None:
    values = _inputs(torch.cat([X[:640], X[640:] + 2])).detach()
    mean, variance = found[0][case]["statistics"]
    torch.testing.assert_close(mean, values.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(variance, values.var(0), rtol=5e-3, atol=1e-5)


def test_calibrated_statistics_are_those_of_both_processes(found: list[dict[str, Any]]) -> None:
    values = _inputs(X).detach()
    mean, variance = found[0]["calibrated"]["statistics"]
    torch.testing.assert_close(mean, values.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(variance, values.var(0), rtol=1e-5, atol=1e-5)


def test_frozen_layers_that_differ_are_left(found: list[dict[str, Any]]) -> None:
    for rank in found:
        assert rank["frozen"]["codes"] == ["BN511"]
        assert not rank["frozen"]["proven"]
        assert "layer '1' is frozen: load the same weights" in rank["frozen"]["said"]


def test_layers_of_torch_become_ours_where_there_are_several_processes(found: list[dict[str, Any]]) -> None:
    assert found[0]["synchronised"]["kind"].startswith("normwise.nn.")
    assert found[0]["synchronised"]["kind"].endswith(".SyncBatchNorm")


def test_a_fix_that_one_process_could_not_apply_is_none(found: list[dict[str, Any]]) -> None:
    for rank in found:
        assert rank["failed"]["untouched"]
        for said in rank["failed"]["said"]:
            assert "BN201 could be applied on 1 of 2 processes, and not on rank 1: it is Sunday here" in said
        assert len(rank["failed"]["said"]) == 2
