"""Each run once, whatever happens in between."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from normwise.errors import RunError
from normwise.records import Environment, Run, RunConfig, Study, from_plain
from normwise.studies import Claim, Outcome, Preset, preset_named, run_study, runner


class _Small(Claim):
    """Three runs of a few steps."""

    number, name, statement, falsifier, rule, sources = 1, "small", "s", "f", "r", ()

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return ("p",)

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            RunConfig("dense_bn", "digits", "batch", 5, 20, 0.1, seed, 5, train_samples=100, test_samples=50)
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Outcome:
        assert [run.config for run in runs] == list(self.runs(preset))
        assert all(run.result is not None for run in runs)
        return Outcome("supported", "sentence", (), ())


class _Same(_Small):
    number, name = 2, "same"


def _times(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.glob("runs/*/run.json")}


def test_runs_that_claims_share_are_made_once(tmp_path: Path, quick: Preset) -> None:
    study = run_study(quick, [_Small(), _Same()], tmp_path)
    assert study.runs == len(_times(tmp_path)) == 3
    assert [finding.claim for finding in study.findings] == ["small", "same"]


def test_the_second_time_nothing_is_run(tmp_path: Path, quick: Preset) -> None:
    first = run_study(quick, [_Small()], tmp_path)
    times, told = _times(tmp_path), []
    second = run_study(
        quick, [_Small()], tmp_path, on_run=lambda done, total, share: told.append((done, total, share))
    )
    assert _times(tmp_path) == times
    assert told == [(3, 3, 1.0)]
    assert second.findings == first.findings


def test_the_study_is_kept_as_a_record(tmp_path: Path, quick: Preset) -> None:
    study = run_study(quick, [_Small()], tmp_path)
    assert from_plain(Study, json.loads((tmp_path / "study.json").read_text())) == study


def test_in_parallel_it_gives_the_same_runs(tmp_path: Path, quick: Preset) -> None:
    run_study(quick, [_Small()], tmp_path / "one", jobs=1)
    run_study(quick, [_Small()], tmp_path / "two", jobs=2)
    for path in (tmp_path / "one").glob("runs/*/*"):
        if path.name != "timing.json":
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_two_studies_side_by_side_share_their_runs(tmp_path: Path, quick: Preset) -> None:
    with ThreadPoolExecutor(2) as pool:
        studies = list(pool.map(lambda _: run_study(quick, [_Small()], tmp_path), range(2)))
    assert studies[0].findings == studies[1].findings
    assert len(_times(tmp_path)) == 3


def test_how_many_cores_there_are_does_not_matter(
    tmp_path: Path, quick: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(quick, [_Small()], tmp_path)
    here = replace(Environment.here(), cores=64)
    monkeypatch.setattr(Environment, "here", staticmethod(lambda: here))
    run_study(quick, [_Small()], tmp_path)
    assert len(_times(tmp_path)) == 3


def test_runs_of_other_code_are_not_taken_for_ones_of_this(
    tmp_path: Path, quick: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(quick, [_Small()], tmp_path)
    monkeypatch.setattr(runner, "_code", lambda: "another")
    run_study(quick, [_Small()], tmp_path)
    assert len(_times(tmp_path)) == 6


def test_a_damaged_run_is_named(tmp_path: Path, quick: Preset) -> None:
    run_study(quick, [_Small()], tmp_path)
    damaged = next(tmp_path.glob("runs/*/run.json"))
    damaged.write_text("{")
    with pytest.raises(RunError, match=damaged.parent.name):
        run_study(quick, [_Small()], tmp_path)


def test_killed_three_times_it_loses_at_most_what_was_in_flight(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "normwise",
        "study",
        "useless_bias",
        "--jobs",
        "2",
        "--out",
        str(tmp_path),
    ]
    moments, finished = random.Random(1), {}
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        known = len(_finished(tmp_path))
        while len(_finished(tmp_path)) <= known and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert all(_finished(tmp_path)[path] == when for path, when in finished.items())
        finished = _finished(tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "supported" in done.stdout
    after = _finished(tmp_path)
    assert all(after[path] == when for path, when in finished.items())
    assert len(after) == 2 * 2 * 2 * len(preset_named("quick").seeds)
    assert (tmp_path / "report.html").exists()


def _finished(out: Path) -> dict[Path, int]:
    """When each finished run was finished."""
    return {
        path: when for path, when in _times(out).items() if json.loads(path.read_text())["result"] is not None
    }
