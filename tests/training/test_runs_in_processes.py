"""Runs in several processes: the numbers of one process, checkpoints, and going on with another number of them."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from normwise.errors import RunError
from normwise.records import Point, ProcessSpan, Run, RunConfig
from normwise.training import Processes, RunFolder, train
from tests.support.processes import run

#: On a machine that is busy with other things processes take long to start.
pytestmark = pytest.mark.timeout(900)

_FIELDS: dict[str, Any] = {
    "model": "dense_bn",
    "data": "digits",
    "norm": "batch",
    "steps": 12,
    "batch_size": 10,
    "lr": 0.02,
    "seed": 0,
    "eval_every": 5,
    "train_samples": 200,
    "test_samples": 250,
    "dtype": "float64",
}
_SPEECH = {"task": "speech", "model": "speech_lstm", "data": "tones", "train_samples": 60, "test_samples": 20}
_TEXT = {
    "task": "text",
    "model": "sentiment_bilstm",
    "data": "phrases",
    "options": {"width": 10, "dropout": 0.0},
    "train_samples": 60,
    "test_samples": 20,
}
_SHORT = {"steps": 4, "batch_size": 20, "optimizer": "adam", "clip": 1.0}
#: Configurations whose runs are those of one process, and in how many processes.
_SAME: dict[str, tuple[dict[str, Any], int]] = {
    "uneven shares": ({"optimizer": "adam", "measures": ("input_percentiles", "recomputed_accuracy")}, 4),
    "an idle process": ({"batch_size": 3, "clip": 0.5}, 4),
    "no statistics": ({"norm": "none"}, 3),
    "images": ({"model": "mnist_cnn", "steps": 3}, 2),
    "speech": (_SPEECH | _SHORT, 3),
    "text": (_TEXT | _SHORT, 2),
    "padding in the statistics": (_SPEECH | _SHORT | {"norm": "batch_unmasked"}, 2),
    "diverging": ({"norm": "none", "lr": 1e30, "steps": 3}, 2),
}


class _Interrupted(Exception):
    pass


def _config(changes: dict[str, Any]) -> RunConfig:
    return RunConfig(**(_FIELDS | changes))


def _stop_at(step: int) -> Callable[[int, float, Point | None], None]:
    def on_step(now: int, loss: float, point: Point | None) -> None:
        if now == step:
            raise _Interrupted

    return on_step


def _parts(
    rank: int, folder: str, parts: list[tuple[str, dict[str, Any], int, int | None]]
) -> list[Run | None]:
    """Train one part after another: name, configuration, number of processes, and the step at which it stops."""
    torch.distributed.destroy_process_group()
    runs: list[Run | None] = []
    for number, (name, changes, count, stop) in enumerate(parts):
        place, config = Path(folder, name), _config(changes)
        options: dict[str, Any] = {"resume": True, "checkpoint_seconds": 0.0}
        if stop is not None:
            options["on_step"] = _stop_at(stop)
        runs.append(None)
        if rank >= count:
            continue
        try:
            with Processes(f"file://{folder}/store{number}", rank, count) as processes:
                runs[-1] = train(config, place, processes=processes, **options)
        except _Interrupted:
            continue
    return runs


def _alone(folder: Path, name: str, changes: dict[str, Any]) -> Run:
    return train(_config(changes), folder / f"{name} alone", threads=1)


def _tensors(folder: Path, name: str) -> dict[str, torch.Tensor]:
    saved = safetensors.torch.load_file(folder / name / "checkpoint.safetensors")
    return {name: tensor for name, tensor in saved.items() if not name.startswith("extra.")}


@pytest.fixture(scope="module")
def shared() -> Any:
    """Folder of the runs of all configurations, and the runs of each process."""
    with tempfile.TemporaryDirectory() as folder:
        parts = [(name, changes, count, None) for name, (changes, count) in _SAME.items()]
        yield Path(folder), run(_parts, 4, folder, parts, timeout=600.0)


@pytest.mark.parametrize("name", _SAME)
def test_a_run_in_several_processes_is_that_of_one(name: str, shared: Any) -> None:
    folder, of_ranks = shared
    changes, count = _SAME[name]
    alone, number = _alone(folder, name, changes), list(_SAME).index(name)
    runs = [of_rank[number] for of_rank in of_ranks[:count]]
    assert all(repr(one) == repr(runs[0]) for one in runs)
    together = RunFolder(folder / name).read()
    assert together.processes == (ProcessSpan(0, count, 1),)
    assert together.result is not None
    assert alone.result is not None
    assert together.result.steps == alone.result.steps
    assert together.result.test_accuracy == alone.result.test_accuracy
    assert together.result.batch_statistics_accuracy == alone.result.batch_statistics_accuracy
    assert [point.step for point in together.points] == [point.step for point in alone.points]
    for one, other in zip(together.points, alone.points, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-9, nan_ok=True)
        assert one.test_loss == pytest.approx(other.test_loss, rel=1e-9, nan_ok=True)
        assert one.test_accuracy == other.test_accuracy
        for measure, value in other.measured.items():
            assert one.measured[measure] == pytest.approx(value, rel=1e-7)
    ours, theirs = _tensors(folder, name), _tensors(folder, f"{name} alone")
    assert list(ours) == list(theirs)
    if math.isfinite(alone.points[-1].test_loss):
        for key, tensor in theirs.items():
            torch.testing.assert_close(ours[key], tensor, rtol=1e-7, atol=1e-9)


_LOCAL = {"statistics": "local", "optimizer": "adam"}
_DROPOUT = _TEXT | _SHORT | {"options": {"width": 10}}


def test_a_run_that_was_interrupted_ends_with_the_same_bytes(tmp_path: Path) -> None:
    parts: list[tuple[str, dict[str, Any], int, int | None]] = []
    for name, changes in (("local", _LOCAL), ("dropout", _DROPOUT)):
        parts.append((f"{name} unbroken", changes, 2, None))
        parts += [(f"{name} broken", changes, 2, 3), (f"{name} broken", changes, 2, None)]
    run(_parts, 2, str(tmp_path), parts, timeout=600.0)
    for name in ("local", "dropout"):
        broken, unbroken = tmp_path / f"{name} broken", tmp_path / f"{name} unbroken"
        for file in ("run.json", "metrics.jsonl", "checkpoint.safetensors"):
            assert (broken / file).read_bytes() == (unbroken / file).read_bytes()


def test_a_run_goes_on_in_another_number_of_processes(tmp_path: Path) -> None:
    parts = [("whole", {}, 2, 3), ("local", _LOCAL, 2, 3), ("whole", {}, 3, 7), ("local", _LOCAL, 3, 7)]
    run(_parts, 3, str(tmp_path), parts, timeout=600.0)
    whole = train(_config({}), tmp_path / "whole", resume=True, threads=1)
    assert whole.processes == (ProcessSpan(0, 2, 1), ProcessSpan(3, 3, 1), ProcessSpan(7, 1, 1))
    _alone(tmp_path, "whole", {})
    for key, tensor in _tensors(tmp_path, "whole alone").items():
        torch.testing.assert_close(_tensors(tmp_path, "whole")[key], tensor, rtol=1e-7, atol=1e-9)
    local = train(_config(_LOCAL), tmp_path / "local", resume=True, threads=1)
    assert [(span.step, span.count) for span in local.processes] == [(0, 2), (3, 3), (7, 1)]
    assert local.result is not None
    assert local.result.steps == 12


def test_local_statistics_are_those_of_each_share_and_merged_where_they_are_read(tmp_path: Path) -> None:
    """One step of momentum 0.1: the running variance has the spread between the shares only as far as it moved."""
    changes = _LOCAL | {"steps": 1, "batch_size": 9, "optimizer": "sgd", "lr": 1e-30}
    run(
        _parts,
        2,
        str(tmp_path),
        [("local", changes, 2, None), ("whole", {**changes, "statistics": "synchronised"}, 2, None)],
    )
    local, whole = _tensors(tmp_path, "local"), _tensors(tmp_path, "whole")
    means = {key for key in local if key.endswith("running_mean")}
    assert means
    first = min(means)  # of the first layer the inputs are the same
    torch.testing.assert_close(local[first], whole[first])
    var = first.replace("running_mean", "running_var")
    assert not torch.allclose(local[var], whole[var], rtol=1e-4)
    assert local[first.replace("running_mean", "num_batches_tracked")] == 1
    own = safetensors.torch.load_file(tmp_path / "local/checkpoint.safetensors")["extra.local_statistics"]
    assert len(own) == 2
    assert not torch.equal(own[0], own[1])


def test_threads_are_those_that_the_run_was_begun_with_unless_the_number_of_processes_is_another(
    tmp_path: Path,
) -> None:
    with pytest.raises(_Interrupted):
        train(_config({}), tmp_path / "run", threads=2, checkpoint_seconds=0, on_step=_stop_at(3))
    run(_parts, 2, str(tmp_path), [("run", {}, 2, 5)])
    assert RunFolder(tmp_path / "run").read().processes == (ProcessSpan(3, 2, 1),)
    with pytest.raises(_Interrupted):
        train(
            _config({}), tmp_path / "run", resume=True, threads=2, checkpoint_seconds=0, on_step=_stop_at(7)
        )
    with pytest.raises(RunError, match="was started with threads=2; with 1 its last digits"):
        train(_config({}), tmp_path / "run", resume=True, threads=1)
    assert train(_config({}), tmp_path / "run", resume=True).processes == (
        ProcessSpan(3, 2, 1),
        ProcessSpan(5, 1, 2),
    )
