"""Processes that do not diagnose together: one clear error on each, that names the rank, and no hang."""

import time
from typing import Any
from unittest.mock import patch

import pytest
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import normwise
from normwise.doctor.facts.processes.rank_facts import ranks_text
from normwise.errors import NormwiseError
from tests.doctor.processes.networks import X, batches, dense, together
from tests.support import processes


def _said(call: Any) -> str:
    try:
        call()
    except (NormwiseError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _raising(count: int) -> Any:
    yield from batches(0)[:count]
    raise OSError("the disk is gone")


def _go_wrong(rank: int) -> dict[str, Any]:
    """Make calls that go wrong on a process, and a right one after each."""
    found: dict[str, Any] = {}
    model, data = dense(nn.BatchNorm1d(8)), batches(rank)
    group = dist.group.WORLD

    def right() -> None:
        assert together(model, data, select=["BN5"]).findings == ()

    right()
    if rank == 0:
        began = time.monotonic()
        found["absent"] = _said(lambda: normwise.diagnose(model, data, process_group=group, timeout=1.0))
        found["seconds"] = time.monotonic() - began
    dist.barrier()
    right()
    other = nn.Sequential(model, nn.BatchNorm1d(3)) if rank else model
    found["other layers"] = _said(lambda: together(other))
    right()
    found["other inputs"] = _said(lambda: together(model, data if rank else None))
    right()
    found["other rules"] = _said(lambda: together(model, data, ignore=["BN201"] if rank else []))
    right()
    found["data that raise"] = _said(lambda: together(model, _raising(3) if rank else data))
    right()
    found["no layers"] = _said(lambda: together(nn.Linear(4, 3) if rank else model))
    right()
    found["no model"] = _said(lambda: together("model" if rank else model, data))  # pyright: ignore[reportArgumentType]
    right()
    stale = dense(nn.BatchNorm1d(8), 5 * X + 3)
    diagnosis = together(stale, data, select=["BN201"])
    found["another call"] = _said(diagnosis.fix if rank else lambda: together(model, data))
    right()
    part: Any = dist.new_group([0])
    if rank == 0:
        with patch.object(dist, "all_gather_object", side_effect=RuntimeError("connection closed")):
            found["gone"] = _said(lambda: normwise.diagnose(model, data, process_group=part))
        single = normwise.diagnose(model, data, process_group=part)
        found["group of one"] = [finding.code for finding in single.findings if finding.severity != "info"]
    else:
        found["not a member"] = _said(lambda: normwise.diagnose(model, data, process_group=part))
    found["no group"] = _said(lambda: normwise.diagnose(model, data, process_group=0))  # pyright: ignore[reportArgumentType]
    found["no timeout"] = _said(lambda: normwise.diagnose(model, data, process_group=group, timeout=0))
    sharded: Any = fully_shard(dense(nn.BatchNorm1d(8)), mesh=init_device_mesh("cpu", (2,)))
    found["sharded"] = _said(lambda: normwise.diagnose(sharded, data))
    right()
    return found


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return processes.run(_go_wrong, 2)


@pytest.mark.parametrize(
    ("case", "first", "second"),
    [
        ("other layers", "only one of them has the layer", "only one of them has the layer"),
        ("other inputs", "only one of them has data", "only one of them has data"),
        ("other rules", "only one of them has BN201", "only one of them has BN201"),
        (
            "data that raise",
            "rank 1 failed to diagnose a model: DataError",
            "DataError: the data raise OSError",
        ),
        ("no layers", "rank 1 failed to diagnose a model: ModelError", "ModelError: Linear has no BN layer"),
        (
            "no model",
            "rank 1 failed to diagnose a model: ArgumentError",
            "ArgumentError: expected a torch.nn.Module",
        ),
        ("another call", "rank 0 came to diagnose a model, and rank 1 to copy", "rank 1 came to copy"),
        ("no group", "expected a process group", "expected a process group"),
        ("sharded", "are sharded among processes (FSDPModule)", "full_state_dict=True"),
        ("no timeout", "positive number of seconds", "positive number of seconds"),
    ],
)
def test_each_process_says_what_is_wrong(
    found: list[dict[str, Any]], case: str, first: str, second: str
) -> None:
    assert first in found[0][case]
    assert second in found[1][case]


def test_a_process_that_does_not_come_is_named_in_time(found: list[dict[str, Any]]) -> None:
    assert "rank 0 came to diagnose a model, and rank 1 did not within 1 seconds" in found[0]["absent"]
    assert found[0]["seconds"] >= 1


def test_a_process_that_ends_in_an_exchange_is_an_error_of_ours(found: list[dict[str, Any]]) -> None:
    assert found[0]["gone"] == (
        "DistributedError: rank 0 came to diagnose a model, and another process ended meanwhile: connection closed"
    )


def test_a_group_of_one_and_one_without_this_process(found: list[dict[str, Any]]) -> None:
    assert found[0]["group of one"] == []
    assert "not in the process_group" in found[1]["not a member"]


def _kill_one(rank: int) -> str:
    if rank == 1:
        raise SystemExit(3)
    return _said(
        lambda: normwise.diagnose(dense(nn.BatchNorm1d(8)), process_group=dist.group.WORLD, timeout=2.0)
    )


def test_a_process_that_ended_is_named() -> None:
    said = processes.run_each(_kill_one, 2)[0]
    assert "rank 1 did not within 2 seconds" in said


def test_ranks_in_words() -> None:
    assert ranks_text([3]) == "rank 3"
    assert ranks_text([0, 2, 5]) == "ranks 0, 2 and 5"
    assert ranks_text(range(9)) == "ranks 0, 1, 2, 3, 4 and 4 others"
