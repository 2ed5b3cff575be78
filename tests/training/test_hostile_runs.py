"""The folder of a run that somebody else made, damaged or began otherwise."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image

from normwise.errors import ArgumentError, NormwiseError, RunError
from normwise.kernels import name_in_use
from normwise.kernels.cpu import library
from normwise.records import Point, RunConfig
from normwise.training import RunFolder, predict, train
from normwise.training.run import folder as run_folder

Make = Callable[..., RunConfig]


class _Interrupted(Exception):
    pass


def _begun(config: RunConfig, folder: Path, steps: int = 8) -> None:
    """Begin a run that stops after so many of its 12 steps."""

    def on_step(step: int, loss: float, point: Point | None) -> None:
        if step == steps:
            raise _Interrupted

    with pytest.raises(_Interrupted):
        train(config, folder, checkpoint_seconds=0, on_step=on_step)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _change_checkpoint(
    folder: Path, change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None]
) -> None:
    path = folder / "checkpoint.safetensors"
    with safetensors.safe_open(path, framework="pt") as file:
        progress = json.loads(file.metadata()["progress"])
    tensors = safetensors.torch.load(path.read_bytes())
    change(tensors, progress)
    path.write_bytes(safetensors.torch.save(tensors, {"progress": json.dumps(progress)}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", "x"), ("step", 1.5), ("step", -1), ("step", 13), ("step", 0),
        ("loss_sum", 3), ("loss_sum", "0x1p+9999"), ("loss_sum", "nan"),
        ("loss_count", None), ("loss_count", -1),
        ("metrics_size", "y"), ("metrics_size", 10**9), ("metrics_size", -5),
        ("diverged", 3), ("other", 1),
    ],
)  # fmt: skip
def test_impossible_progress_is_refused_and_nothing_changed(
    config: Make, tmp_path: Path, name: str, value: Any
) -> None:
    _begun(config(), tmp_path / "run")
    _change_checkpoint(tmp_path / "run", lambda tensors, progress: progress.update({name: value}))
    before = _contents(tmp_path / "run")
    with pytest.raises(RunError, match=r"checkpoint\.safetensors"):
        train(config(), tmp_path / "run", resume=True)
    assert _contents(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("optimizer.0.exp_avg"), r"it lacks optimizer\.0\.exp_avg"),
        (
            lambda tensors: tensors.update({"optimizer.99.step": torch.ones(())}),
            r"it has more: optimizer\.99\.step",
        ),
        (lambda tensors: tensors.update({"optimizer.x": torch.ones(())}), r"it has more: optimizer\.x"),
        (lambda tensors: tensors.update({"optimizer.0.exp_avg": torch.ones(3)}), r"has the shape \(3,\)"),
        (lambda tensors: tensors.update({"optimizer.0.step": torch.ones(2)}), r"has the shape \(2,\)"),
        (
            lambda tensors: tensors.update({"model.output.bias": torch.ones(3)}),
            r"model\.output\.bias has the shape",
        ),
        (
            lambda tensors: tensors.update({"model.output.bias": torch.ones(10).double()}),
            r"is of torch\.float64",
        ),
        (lambda tensors: tensors.update({"model.output.bias": torch.ones(10).long()}), r"is of torch\.int64"),
        (lambda tensors: tensors.pop("model.output.bias"), r"it lacks model\.output\.bias"),
        (lambda tensors: tensors.update({"model.x": torch.ones(3)}), r"it has more: model\.x"),
    ],
    ids=range(10),
)
def test_a_checkpoint_of_other_tensors_is_refused_in_a_line(
    config: Make, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], Any], message: str
) -> None:
    wanted = config(optimizer="adam")
    _begun(wanted, tmp_path / "run")
    _change_checkpoint(tmp_path / "run", lambda tensors, progress: change(tensors))
    with pytest.raises(RunError, match=message) as raised:
        train(wanted, tmp_path / "run", resume=True)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("run.json", {"options": {"norm": "x"}}, "norm is a field of the configuration, not an option"),
        ("run.json", {"options": {"seed": 3}}, "seed is a field of the configuration, not an option"),
        ("run.json", {"options": {"depth": 3}}, "has no option 'depth'"),
        ("run.json", {"options": {"init_scale": "x"}}, "takes a value like"),
        ("run.json", {"model": "vgg"}, "unknown model 'vgg'"),
        ("run.json", {"norm": "power"}, "unknown norm 'power'"),
        ("run.json", {"task": "text"}, "the task is text and image"),
        ("preparation.json", {"shape": [-1, 8, 8]}, r"the shape is \(-1, 8, 8\)"),
        ("preparation.json", {"shape": []}, r"the shape is \(\)"),
        ("preparation.json", {"shape": [10**6, 10**6, 10**6]}, "the shape is"),
        ("preparation.json", {"shape": [1, 8]}, "expected .C, H, W."),
        ("preparation.json", {"shape": [1, 16, 16]}, "has the shape"),
        ("preparation.json", {"classes": []}, "there are 0 classes"),
        ("preparation.json", {"classes": ["a", "b"]}, "has the shape"),
        ("preparation.json", {"rate": 8000}, "the rate is 8000"),
    ],
)
def test_records_of_no_network_are_said(
    config: Make, tmp_path: Path, file: str, change: dict[str, Any], message: str
) -> None:
    _begun(config(), tmp_path / "run", steps=1)
    record = json.loads((tmp_path / "run" / file).read_text())
    (record["config"] if file == "run.json" else record).update(change)
    (tmp_path / "run" / file).write_text(json.dumps(record))
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(RunError, match=message):
        predict(tmp_path / "run", [str(tmp_path / "x.png")])


def test_a_run_goes_on_with_the_kernels_that_it_was_begun_with(
    config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_with = name_in_use()
    _begun(config(), tmp_path / "run")
    with monkeypatch.context() as other:
        other.setattr(run_folder, "name_in_use", lambda device: "another")
        before = _contents(tmp_path / "run")
        with pytest.raises(
            RunError,
            match=rf"started with other kernels: {begun_with}, and these are another; .*NORMWISE_KERNELS={begun_with}",
        ):
            train(config(), tmp_path / "run", resume=True)
        assert _contents(tmp_path / "run") == before
    assert train(config(), tmp_path / "run", resume=True).kernels == begun_with


def test_the_name_of_the_kernels_is_what_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert name_in_use() in ("torch", "baseline", "avx2", "avx512")
    monkeypatch.setattr(library, "library", None)
    assert name_in_use() == "torch"


def test_a_run_of_before_kernels_were_kept_goes_on_with_any(
    config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _begun(config(), tmp_path / "run")
    file = tmp_path / "run/run.json"
    head = json.loads(file.read_text())
    del head["kernels"]
    file.write_text(json.dumps(head))
    monkeypatch.setattr(run_folder, "name_in_use", lambda device: "another")
    run = train(config(), tmp_path / "run", resume=True)
    assert run.result is not None
    assert run.kernels is None


def test_leftovers_of_a_killed_process_are_removed(config: Make, tmp_path: Path) -> None:
    _begun(config(), tmp_path / "run")
    (tmp_path / "run" / f".checkpoint.safetensors.{'0' * 32}").write_bytes(b"half")
    (tmp_path / "run" / ".mine").write_bytes(b"whole")
    train(config(), tmp_path / "run", resume=True)
    assert sorted(_contents(tmp_path / "run")) == [
        ".lock", ".mine", "checkpoint.safetensors", "metrics.jsonl", "preparation.json", "run.json", "timing.json",
    ]  # fmt: skip


@pytest.mark.parametrize("threads", [0, -1, 99_999_999])
def test_threads_that_cannot_be_started_are_refused_and_no_folder_is_left(
    config: Make, tmp_path: Path, threads: int
) -> None:
    with pytest.raises(ArgumentError, match=f"threads is {threads}; expected 1 to"):
        train(config(), tmp_path / "new/run", threads=threads)
    assert list(tmp_path.iterdir()) == []


def test_threads_of_a_record_that_cannot_be_started_are_refused(config: Make, tmp_path: Path) -> None:
    _begun(config(), tmp_path / "run")
    file = tmp_path / "run/run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"threads": 99_999_999}))
    with pytest.raises(ArgumentError, match="threads is 99999999"):
        train(config(), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 1e31}, r"lr must be at most 1e\+30"),
        ({"steps": 10**13}, "steps must be at most"),
        ({"seed": 2**63}, "seed must be from 0"),
        ({"seed": -1}, "seed must be from 0"),
    ],
)
def test_numbers_without_sense_are_refused(
    config: Make, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        train(config(**changes), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [False, True])
def test_a_start_that_fails_leaves_what_it_found(
    config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        (tmp_path / "new/run").mkdir(parents=True)

    def full(self: RunFolder, head: object) -> None:
        raise RunError("the disk is full")

    monkeypatch.setattr(RunFolder, "_write_run", full)
    with pytest.raises(RunError, match="the disk is full"):
        train(config(), tmp_path / "new/run")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == (
        ["new", "new/run"] if there else []
    )


def test_names_that_are_not_utf_8_are_said_and_no_folder_is_left(config: Make, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    for part, label, i in [(p, c, i) for p in ("train", "test") for c in ("b", name) for i in range(4)]:
        file = tmp_path / "data" / part / label / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), i).save(file)
    wanted = config(data=str(tmp_path / "data"), train_samples=None, test_samples=None, batch_size=4)
    with pytest.raises(NormwiseError, match=r"'caf\\xe9' is not UTF-8"):
        train(wanted, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_last_line_that_a_killed_process_did_not_finish_is_left_out(config: Make, tmp_path: Path) -> None:
    _begun(config(), tmp_path / "run")
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"step": 1')
    assert [point.step for point in RunFolder(tmp_path / "run").read().points] == [0, 5]


@pytest.mark.parametrize("name", ["run.json", "metrics.jsonl", "preparation.json", "checkpoint.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "fifo", "huge"])
def test_a_file_of_another_kind_is_said(config: Make, tmp_path: Path, name: str, kind: str) -> None:
    _begun(config(), tmp_path / "run", steps=1)
    path = tmp_path / "run" / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 10**13)
    with pytest.raises(RunError, match=name):
        predict(tmp_path / "run", ["x.png"])
    with pytest.raises(RunError, match=name):
        train(config(), tmp_path / "run", resume=True)
