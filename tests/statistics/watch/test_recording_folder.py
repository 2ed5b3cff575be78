"""A recording in a folder and in TensorBoard, as it is written, killed, damaged and read."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ArgumentError, RunError
from normwise.recordings.recording_folder import RecordingFolder
from normwise.records import Recording
from normwise.records.recording import PERCENTILES


def _watched(model: nn.Module, images: Tensor, to: object, steps: int = 3) -> Recording:
    with normwise.watch(model, every=1, to=to) as recording:
        for _ in range(steps):
            model(images).sum().backward()
    return recording.record


@pytest.fixture
def file_size() -> Iterator[Callable[[int], None]]:
    """Sets how large files may get, which is what a disk that fills looks like."""
    resource = pytest.importorskip("resource", reason="there is no such limit on this system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_read(deep: nn.Sequential, images: Tensor, tmp_path: Path) -> None:
    recording = _watched(deep, images, tmp_path / "new" / "folder")
    assert RecordingFolder(tmp_path / "new" / "folder").read() == recording
    assert len(recording.points) == 3


def test_the_folder_may_be_a_string_and_hold_other_things(
    deep: nn.Sequential, images: Tensor, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    recording = _watched(deep, images, str(tmp_path))
    assert RecordingFolder(tmp_path).read() == recording
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_line_is_there_as_soon_as_its_record_is_complete(
    deep: nn.Sequential, images: Tensor, tmp_path: Path
) -> None:
    with normwise.watch(deep, every=1, to=tmp_path):
        found = []
        for _ in range(3):
            deep(images).sum().backward()
            found.append([point.step for point in RecordingFolder(tmp_path).read().points])
    assert found == [[], [0], [0, 1]]


def test_gradients_that_are_not_there_are_read_as_not_there(
    deep: nn.Sequential, images: Tensor, tmp_path: Path
) -> None:
    with normwise.watch(deep, to=tmp_path), torch.no_grad():
        deep(images)
    (point,) = RecordingFolder(tmp_path).read().points
    assert all(layer.weight_grad != layer.weight_grad for layer in point.layers.values())


_KILLED = """
import os, sys, torch, normwise
model = torch.nn.Sequential(torch.nn.BatchNorm1d(3))
with normwise.watch(model, every=1, to=sys.argv[1]):
    for _ in range(4):
        model(torch.randn(5, 3)).sum().backward()
    os._exit(9)
"""


def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, tmp_path], check=False)
    assert killed.returncode == 9
    assert [point.step for point in RecordingFolder(tmp_path).read().points] == [0, 1, 2]


def test_a_full_disk_is_an_error_and_nothing_comes_behind_the_torn_line(
    deep: nn.Sequential, images: Tensor, tmp_path: Path, file_size: Callable[[int], None]
) -> None:
    recording = _watched(deep, images, tmp_path / "first", steps=1)
    folder = RecordingFolder(tmp_path / "second").begin(recording)
    folder.append(recording.points[0])
    line = (tmp_path / "second" / "metrics.jsonl").stat().st_size
    file_size(line + 100)
    with pytest.raises(RunError, match=r"metrics\.jsonl can't be written to: File too large"):
        folder.append(recording.points[0])
    file_size(10 * line)
    with pytest.raises(RunError, match="has ended; begin another"):
        folder.append(recording.points[0])
    assert (tmp_path / "second" / "metrics.jsonl").stat().st_size == line + 100
    assert folder.read() == recording


def test_a_torn_last_line_is_left_out(deep: nn.Sequential, images: Tensor, tmp_path: Path) -> None:
    recording = _watched(deep, images, tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-20])
    assert RecordingFolder(tmp_path).read().points == recording.points[:2]


def test_a_damaged_line_is_an_error(deep: nn.Sequential, images: Tensor, tmp_path: Path) -> None:
    _watched(deep, images, tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(b"{" + metrics.read_bytes())
    with pytest.raises(RunError, match=r"metrics\.jsonl is damaged or of another version: .*Record again"):
        RecordingFolder(tmp_path).read()


@pytest.mark.parametrize("missing", ["recording.json", "metrics.jsonl"])
def test_a_folder_without_one_of_the_files_is_no_recording(
    deep: nn.Sequential, images: Tensor, tmp_path: Path, missing: str
) -> None:
    _watched(deep, images, tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(RunError, match=f"holds no recording: .*{missing}"):
        RecordingFolder(tmp_path).read()


def test_a_recording_is_not_written_over(deep: nn.Sequential, images: Tensor, tmp_path: Path) -> None:
    recording = _watched(deep, images, tmp_path)
    with pytest.raises(RunError, match="already holds a recording"), normwise.watch(deep, to=tmp_path):
        raise AssertionError
    assert not deep._forward_pre_hooks
    assert RecordingFolder(tmp_path).read() == recording


def test_nor_are_the_metrics_of_a_run(deep: nn.Sequential, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("a run's\n")
    with pytest.raises(RunError, match=r"metrics\.jsonl is there already"), normwise.watch(deep, to=tmp_path):
        raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_place_that_is_no_folder(deep: nn.Sequential, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file"), normwise.watch(deep, to=tmp_path / "file"):
        raise AssertionError


def test_the_head_is_written_at_once_and_has_no_points(deep: nn.Sequential, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no training pass"), normwise.watch(deep, every=7, to=tmp_path):
        head = json.loads((tmp_path / "recording.json").read_text())
    assert (head["every"], head["points"]) == (7, [])
    assert [layer["path"] for layer in head["layers"]] == ["1", "4"]
    assert RecordingFolder(tmp_path).read().points == ()


class _Writer:
    def __init__(self) -> None:
        self.scalars: dict[tuple[str, int], float] = {}

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        assert (tag, step) not in self.scalars
        self.scalars[tag, step] = value


def test_scalars_of_a_writer(deep: nn.Sequential, images: Tensor) -> None:
    writer = _Writer()
    recording = _watched(deep, images, writer, steps=2)
    for point in recording.points:
        for path, layer in point.layers.items():
            assert layer.shift is not None
            prefix = f"bn/{path}/"
            found = {
                tag.removeprefix(prefix): value
                for (tag, step), value in writer.scalars.items()
                if step == point.step and tag.startswith(prefix)
            }
            assert found["shift_rms"] == layer.shift.rms
            assert found["shift_largest"] == layer.shift.largest
            assert found["noise_mean_rms"] == layer.noise_mean.rms
            assert found["output_grad"] == layer.output_grad
            unit = layer.units[0]
            percentiles = [found[f"unit{unit.channel}_input_p{p:.0f}"] for p in PERCENTILES]
            assert percentiles == list(unit.input)


def test_a_scalar_that_is_not_known_is_left_out() -> None:
    writer = _Writer()
    model = nn.BatchNorm1d(2, track_running_stats=False, affine=False)
    with normwise.watch(model, units=0, to=writer), torch.no_grad():
        model(torch.randn(4, 2))
    names = {tag.removeprefix("bn/model/") for tag, _ in writer.scalars}
    assert names == {"batch_mean_rms", "batch_var_rms", "noise_mean_rms", "noise_var_rms"}


def test_tensorboard_reads_them(deep: nn.Sequential, images: Tensor, tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard.SummaryWriter(tmp_path) as writer:
        recording = _watched(deep, images, writer, steps=2)
        writer.add_scalar("loss", 1.0, 0)  # it is still open
    events = EventAccumulator(str(tmp_path)).Reload()
    last = events.Scalars("bn/4/shift_rms")[-1]
    shift = recording.points[1].layers["4"].shift
    assert shift is not None
    assert (last.step, last.value) == (1, pytest.approx(shift.rms, rel=1e-6))
    assert events.Scalars("loss")


@pytest.mark.parametrize("to", ["", "a\0b", b"bytes"], ids=["empty", "NUL", "bytes"])
def test_what_names_no_folder_is_refused(
    deep: nn.Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: object
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match=r"^to="), normwise.watch(deep, to=to):
        raise AssertionError
    assert not [*tmp_path.iterdir()]
    assert not deep._forward_pre_hooks


@pytest.mark.parametrize(
    "to", ["new/" + "n" * 300, "n" * 300, "new/deep/" * 600], ids=["name", "here", "path"]
)
def test_names_that_are_too_long_leave_nothing(
    deep: nn.Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(RunError, match="can't be written to: File name too long"),
        normwise.watch(deep, to=to),
    ):
        raise AssertionError
    assert not [*tmp_path.iterdir()]
    assert not deep._forward_pre_hooks


def test_a_file_in_the_place_of_the_folder_is_said(deep: nn.Sequential, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for to in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match=r"file.* can't be written to"), normwise.watch(deep, to=to):
            raise AssertionError
    assert (tmp_path / "file").read_text() == "mine"


def test_folders_that_were_made_go_when_the_recording_cannot_begin(
    deep: nn.Sequential, tmp_path: Path, file_size: Callable[[int], None]
) -> None:
    (tmp_path / "mine").mkdir()
    file_size(10)
    with (
        pytest.raises(RunError, match="can't be written"),
        normwise.watch(deep, to=tmp_path / "mine" / "a" / "b"),
    ):
        raise AssertionError
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_a_name_that_utf_8_cannot_hold_is_written_and_read(tmp_path: Path) -> None:
    model = nn.Sequential()
    model.add_module("caf\udce9", nn.BatchNorm1d(3))
    recording = _watched(model, torch.randn(5, 3), tmp_path)
    assert list(recording.points[0].layers) == ["caf\udce9"]
    assert list(RecordingFolder(tmp_path).read().points[0].layers) == ["caf\\udce9"]
