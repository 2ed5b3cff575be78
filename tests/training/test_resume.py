"""An interrupted run ends with the bytes of one that was not."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from normwise.errors import RunError
from normwise.files import write_whole
from normwise.records import Point, RunConfig, to_json
from normwise.training import RunFolder, train

Make = Callable[..., RunConfig]

#: timing.json says how long it took, which differs; the lock is empty.
_SAME = ("run.json", "preparation.json", "metrics.jsonl", "checkpoint.safetensors")


class _Interrupted(Exception):
    pass


def _stop_at(step: int) -> Callable[[int, float, Point | None], None]:
    def on_step(now: int, loss: float, point: Point | None) -> None:
        if now == step:
            raise _Interrupted

    return on_step


def _bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in _SAME}


@pytest.mark.parametrize("step", [1, 4, 5, 7, 12])
@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1000.0])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_after_an_interruption_the_files_are_those_of_an_unbroken_run(
    config: Make, tmp_path: Path, step: int, checkpoint_seconds: float, optimizer: str
) -> None:
    wanted = config(optimizer=optimizer, lr=0.01, measures=("input_percentiles", "bias_gradient"))
    train(wanted, tmp_path / "unbroken")
    with pytest.raises(_Interrupted):
        train(wanted, tmp_path / "broken", checkpoint_seconds=checkpoint_seconds, on_step=_stop_at(step))
    train(wanted, tmp_path / "broken", resume=True)
    assert _bytes(tmp_path / "broken") == _bytes(tmp_path / "unbroken")


def test_a_run_that_diverged_in_its_last_step_is_resumed_as_one(config: Make, tmp_path: Path) -> None:
    wanted = config(norm="none", lr=1e30, steps=1)
    train(wanted, tmp_path / "unbroken")
    with pytest.raises(_Interrupted):
        train(wanted, tmp_path / "broken", on_step=_stop_at(1))
    train(wanted, tmp_path / "broken", resume=True)
    assert _bytes(tmp_path / "broken") == _bytes(tmp_path / "unbroken")


def test_it_goes_on_with_the_threads_that_it_was_begun_with(config: Make, tmp_path: Path) -> None:
    with pytest.raises(_Interrupted):
        train(config(), tmp_path / "run", threads=2, checkpoint_seconds=0, on_step=_stop_at(3))
    with pytest.raises(
        RunError, match=r"was started with threads=2; with 1 its last digits .* Leave --threads out"
    ):
        train(config(), tmp_path / "run", resume=True, threads=1)
    threads: set[int] = set()
    run = train(
        config(),
        tmp_path / "run",
        resume=True,
        on_step=lambda step, loss, point: threads.add(torch.get_num_threads()),
    )
    assert threads == {2} == {run.threads}


@pytest.mark.parametrize("count", [4, 5])
def test_it_does_not_go_on_with_changed_images(config: Make, tmp_path: Path, count: int) -> None:
    def images(brightness: int, count: int) -> None:
        for part, label, i in [(p, c, i) for p in ("train", "test") for c in "ab" for i in range(count)]:
            file = tmp_path / "data" / part / label / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), brightness + i).save(file)

    images(10, 4)
    wanted = config(data=str(tmp_path / "data"), train_samples=None, test_samples=None, batch_size=4)
    with pytest.raises(_Interrupted):
        train(wanted, tmp_path / "run", checkpoint_seconds=0, on_step=_stop_at(3))
    images(20, count)
    with pytest.raises(
        RunError, match=r"the data of .*data are not those that the run in .* was started with"
    ):
        train(wanted, tmp_path / "run", resume=True)
    for file in (tmp_path / "data").glob("*/*/4.png"):
        file.unlink()
    images(10, 4)
    assert train(wanted, tmp_path / "run", resume=True).result is not None


def test_a_run_of_before_threads_and_data_were_kept_goes_on(config: Make, tmp_path: Path) -> None:
    with pytest.raises(_Interrupted):
        train(config(), tmp_path / "run", checkpoint_seconds=0, on_step=_stop_at(3))
    file = tmp_path / "run/run.json"
    head = json.loads(file.read_text())
    file.write_text(json.dumps({name: head[name] for name in ("config", "environment", "result")}))
    run = train(config(), tmp_path / "run", resume=True, threads=2)
    assert run.result is not None
    assert (run.threads, run.data_sha256) == (None, None)


def test_it_goes_on_from_the_checkpoint_and_not_from_the_start(config: Make, tmp_path: Path) -> None:
    with pytest.raises(_Interrupted):
        train(config(), tmp_path / "run", checkpoint_seconds=0, on_step=_stop_at(8))
    steps: list[int] = []
    train(config(), tmp_path / "run", resume=True, on_step=lambda step, loss, point: steps.append(step))
    assert steps == [9, 10, 11, 12]


_CHILD = """
import json, sys, torch
from pathlib import Path
from normwise.records import RunConfig, from_plain
from normwise.training import train
torch.set_num_threads(1)
train(from_plain(RunConfig, json.loads(sys.argv[1])), Path(sys.argv[2]), resume=True, checkpoint_seconds=0)
"""


def _saved_at(folder: Path) -> int:
    checkpoint = folder / "checkpoint.safetensors"
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0


def test_killed_at_random_moments_it_still_ends_with_the_same_bytes(config: Make, tmp_path: Path) -> None:
    wanted, folder, moments = config(steps=400, eval_every=7), tmp_path / "killed", random.Random(0)
    train(wanted, tmp_path / "unbroken")

    def child() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", _CHILD, to_json(wanted), str(folder)])

    for _ in range(3):
        before, process = _saved_at(folder), child()
        while _saved_at(folder) == before and process.poll() is None:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    assert child().wait() == 0
    assert _bytes(folder) == _bytes(tmp_path / "unbroken")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_checkpoint_is_said(config: Make, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(_Interrupted):
        train(config(), tmp_path / "run", checkpoint_seconds=0, on_step=_stop_at(3))
    (tmp_path / "run/checkpoint.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is damaged .* Delete it"):
        train(config(), tmp_path / "run", resume=True)


def test_metrics_that_lost_lines_are_said(config: Make, tmp_path: Path) -> None:
    with pytest.raises(_Interrupted):
        train(config(), tmp_path / "run", checkpoint_seconds=0, on_step=_stop_at(8))
    (tmp_path / "run/metrics.jsonl").write_text("")
    with pytest.raises(
        RunError, match=r"metrics\.jsonl has 0 bytes, but checkpoint\.safetensors was saved when"
    ):
        train(config(), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", "run.json is damaged"),
        ("run.json", "\x80", "run.json is damaged"),
        ("run.json", "[]", "run.json is damaged or of another version"),
        ("metrics.jsonl", "", "metrics.jsonl ends before the run does, at step 12"),
        ("metrics.jsonl", "\x80", "metrics.jsonl is damaged"),
        ("run.json", "{}", "run.json is damaged or of another version"),
        ("metrics.jsonl", "{", "metrics.jsonl is damaged"),
    ],
)
def test_a_damaged_record_is_said(
    config: Make, tmp_path: Path, name: str, content: str, message: str
) -> None:
    train(config(), tmp_path / "run")
    (tmp_path / "run" / name).write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=message):
        RunFolder(tmp_path / "run").read()


def test_half_a_line_at_the_end_of_the_metrics_is_cut_off(config: Make, tmp_path: Path) -> None:
    train(config(), tmp_path / "unbroken")
    with pytest.raises(_Interrupted):
        train(config(), tmp_path / "run", checkpoint_seconds=0, on_step=_stop_at(8))
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"step": 1')
    train(config(), tmp_path / "run", resume=True)
    assert _bytes(tmp_path / "run") == _bytes(tmp_path / "unbroken")


def test_a_damaged_timing_counts_as_no_time(config: Make, tmp_path: Path) -> None:
    train(config(), tmp_path / "run")
    (tmp_path / "run/timing.json").write_text('{"sec')
    assert RunFolder(tmp_path / "run").seconds == 0


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    def write(letter: str) -> None:
        for _ in range(50):
            write_whole(tmp_path / "file", letter.encode() * 10_000)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, "ab"))
    assert set((tmp_path / "file").read_text()) in ({"a"}, {"b"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere/file can't be written: No such file or directory"):
        write_whole(tmp_path / "nowhere" / "file", b"")
