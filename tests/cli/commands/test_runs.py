"""Several runs: ``normwise runs``, and ``normwise report`` of them side by side."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from normwise.records import Point, Run, RunConfig, from_plain
from normwise.training import train
from tests.cli.conftest import Command


@pytest.fixture
def trained_runs(folder: Path) -> Path:
    """Two runs that differ in their learning rate, and one that was interrupted."""

    def stop(step: int, loss: float, point: Point | None) -> None:
        if step == 4:
            raise KeyError

    for name, lr, on_step in (("a", 0.1, None), ("b", 0.02, None), ("c", 0.1, stop)):
        config = RunConfig("dense_bn", "digits", "batch", 6, 100, lr, 0, 3)
        _train(config, folder / "runs" / name, on_step)
    return folder / "runs"


def _train(config: RunConfig, folder: Path, on_step: Callable[..., None] | None) -> None:
    try:
        train(config, folder, threads=1, on_step=on_step, checkpoint_seconds=0)
    except KeyError:
        assert on_step is not None


def test_runs_are_listed_with_their_state_and_accuracy(normwise: Command, trained_runs: Path) -> None:
    (trained_runs / "damaged").mkdir()
    (trained_runs / "damaged/run.json").write_text("{")
    (trained_runs / "no run").mkdir()
    lines = normwise("runs").out.splitlines()
    assert lines[0].split()[:3] == ["run", "state", "accuracy"]
    assert [line.split()[:2] for line in lines[1:3]] == [["a", "finished"], ["b", "finished"]]
    assert "step 3 of 6" in lines[3]
    assert lines[4].startswith("damaged: runs/damaged/run.json is damaged")
    assert len(lines) == 5
    assert from_plain(Run, json.loads(normwise("runs", "runs", "--json").out)["b"]).config.lr == 0.02


def test_a_folder_without_runs_is_said(normwise: Command) -> None:
    done = normwise("runs", "nowhere")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: there are no runs in nowhere; train one, or name the folder")


def test_runs_side_by_side_show_what_differs_and_how_they_ended(
    normwise: Command, trained_runs: Path
) -> None:
    lines = normwise("report", "runs/a", "runs/b").out.splitlines()
    assert lines[0].split() == ["runs/a", "runs/b"]
    assert lines[1].split() == ["Learning", "rate", "0.1", "0.02"]
    assert lines[2].split() == ["State", "finished", "finished"]
    assert [line[:13].strip() for line in lines[3:6]] == ["Training loss", "Test loss", "Test accuracy"]
    both = json.loads(normwise("report", "runs/a", "runs/b", "--format", "json").out)
    assert [from_plain(Run, both[name]).config.lr for name in ("runs/a", "runs/b")] == [0.1, 0.02]


def test_runs_side_by_side_have_a_page(normwise: Command, trained_runs: Path) -> None:
    done = normwise("report", "runs/a", "runs/b", "runs/c", "-f", "html", "-o", "page.html")
    assert (done.code, done.out) == (0, "")
    page = (trained_runs.parent / "page.html").read_text(encoding="utf-8")
    assert "3 runs side by side" in page.split("<h1>")[1].split("</h1>")[0]
    assert "1 run not finished." in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs/a", "runs/zzz"), "error: runs/zzz holds no run: there is no such folder"),
        (
            ("runs/a", "study"),
            "error: only runs are shown side by side, and study is not a run; give it alone",
        ),
        (
            ("runs/a", "runs/b", "--format", "markdown"),
            "error: several runs side by side have the formats text, json and html, not markdown",
        ),
    ],
)
def test_what_can_not_be_compared_is_said(
    normwise: Command, trained_runs: Path, arguments: tuple[str, ...], message: str
) -> None:
    (trained_runs.parent / "study").mkdir()
    (trained_runs.parent / "study/study.json").write_text("{}")
    done = normwise("report", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)
