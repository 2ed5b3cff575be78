"""Each run once, whatever happens in between."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from normwise.errors import RunError
from normwise.records import Environment, Study, from_plain
from normwise.studies import Preset, claims_named, preset_named, run_study, runner, workers
from normwise.studies.fingerprint import Fingerprint
from normwise.training import RunFolder
from tests.support.studies.small_claim import SearchingClaim, SmallClaim


class _Same(SmallClaim):
    number, name = 3, "same"


@pytest.fixture
def quick() -> Preset:
    """The quick preset, on fewer seeds."""
    return replace(preset_named("quick"), seeds=(2, 3, 4))


def _times(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.glob("runs/*/run.json")}


def test_runs_that_claims_share_are_made_once(tmp_path: Path, quick: Preset) -> None:
    study = run_study(quick, [SmallClaim(), _Same()], tmp_path)
    assert study.runs == len(_times(tmp_path)) == 3
    assert [finding.claim for finding in study.findings] == ["small", "same"]


def test_the_second_time_nothing_is_run(tmp_path: Path, quick: Preset) -> None:
    first = run_study(quick, [SmallClaim()], tmp_path)
    times, told = _times(tmp_path), []
    second = run_study(
        quick, [SmallClaim()], tmp_path, on_run=lambda done, total, share: told.append((done, total, share))
    )
    assert _times(tmp_path) == times
    assert told == [(3, 3, 1.0)]
    assert second.findings == first.findings


def test_the_study_is_kept_as_a_record(tmp_path: Path, quick: Preset) -> None:
    study = run_study(quick, [SmallClaim()], tmp_path)
    assert from_plain(Study, json.loads((tmp_path / "study.json").read_text())) == study


def test_in_parallel_it_gives_the_same_runs(tmp_path: Path, quick: Preset) -> None:
    run_study(quick, [SmallClaim()], tmp_path / "one", jobs=1)
    run_study(quick, [SmallClaim()], tmp_path / "two", jobs=2)
    for path in (tmp_path / "one").glob("runs/*/*"):
        if path.name != "timing.json":
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_two_studies_side_by_side_share_their_runs(tmp_path: Path, quick: Preset) -> None:
    with ThreadPoolExecutor(2) as pool:
        studies = list(pool.map(lambda _: run_study(quick, [SmallClaim()], tmp_path), range(2)))
    assert studies[0].findings == studies[1].findings
    assert len(_times(tmp_path)) == 3


def test_how_many_cores_there_are_does_not_matter(
    tmp_path: Path, quick: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(quick, [SmallClaim()], tmp_path)
    here = replace(Environment.here(), cores=64)
    monkeypatch.setattr(Environment, "here", staticmethod(lambda: here))
    run_study(quick, [SmallClaim()], tmp_path)
    assert len(_times(tmp_path)) == 3


def test_runs_of_other_code_are_not_taken_for_ones_of_this(
    tmp_path: Path, quick: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(quick, [SmallClaim()], tmp_path)
    other = replace(Fingerprint.here(), sources="another")
    monkeypatch.setattr(Fingerprint, "here", staticmethod(lambda device: other))
    run_study(quick, [SmallClaim()], tmp_path)
    assert len(_times(tmp_path)) == 6


def test_runs_on_other_data_are_not_taken_for_ones_on_these(
    tmp_path: Path, quick: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(quick, [SmallClaim()], tmp_path)
    monkeypatch.setattr(runner, "_loaded", lambda source: SimpleNamespace(sha256="b" * 64))
    run_study(quick, [SmallClaim()], tmp_path)
    assert len(_times(tmp_path)) == 6


def test_learning_rates_are_chosen_on_runs_of_their_own(tmp_path: Path, quick: Preset) -> None:
    told: list[tuple[int, int]] = []
    study = run_study(
        quick, [SearchingClaim()], tmp_path, on_run=lambda done, total, share: told.append((done, total))
    )
    made = [RunFolder(path.parent).read().config for path in _times(tmp_path)]
    choosing = {(run.lr, run.seed) for run in made if run.split == "validation"}
    assert choosing == {(lr, seed) for lr in (1e-9, 0.1) for seed in quick.tuning_seeds}
    assert {(run.lr, run.seed) for run in made if run.split == "test"} == {
        (0.1, seed) for seed in quick.seeds
    }
    assert study.runs == study.findings[0].runs == len(made) == 7
    assert told[-1] == (7, 7)
    assert {total for _, total in told} == {7}


_DIGEST = """
import sys, torch
torch.set_num_threads(int(sys.argv[1]))
from normwise.studies import runner
print(runner._loaded(("speech", "tones", ())).sha256, torch.get_num_threads())
"""


def test_made_up_data_are_the_same_on_any_number_of_threads() -> None:
    # One process each: what is made up is kept, and would be the same for that reason.
    digests = set()
    for threads in ("1", "3"):
        command = [sys.executable, "-c", _DIGEST, threads]
        digest, after = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert after == threads
        digests.add(digest)
    assert len(digests) == 1


def test_a_worker_gets_the_runs_on_one_data_set_together_and_very_long_ones_first() -> None:
    (arm,) = SmallClaim.arms
    lengths = [
        replace(arm, data=data, seed=seed, steps=steps)
        for seed, steps in enumerate((5, 300, 9_999, 20_000))
        for data in ("digits", "crops-16")
    ]
    turns = sorted(lengths, key=runner._turn)
    assert [run.steps for run in turns[:2]] == [20_000, 20_000]
    assert [run.data for run in turns[2:]] in (
        ["digits"] * 3 + ["crops-16"] * 3,
        ["crops-16"] * 3 + ["digits"] * 3,
    )


def test_the_study_says_what_it_took_by_the_clock(tmp_path: Path, quick: Preset) -> None:
    begun = time.monotonic()
    study = run_study(quick, [SmallClaim()], tmp_path)
    assert 0 < study.wall_seconds <= time.monotonic() - begun + 0.001  # it is rounded


_BLOCKED = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def test_processes_are_started_out_of_reach_of_an_interruption() -> None:
    def started() -> str:
        return subprocess.run(
            [sys.executable, "-c", _BLOCKED], capture_output=True, text=True, check=True
        ).stdout

    with workers._interruptions_held():
        assert started() == "True\n"
    assert started() == "False\n"


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="no /proc, which tells whose children are whose"
)
@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_interrupted_with_its_workers_it_says_one_line(tmp_path: Path, seconds: float) -> None:
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
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    # What Ctrl-C does: all processes of the group get it, here the workers as they start or are at work.
    while not _workers(process.pid) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ""
    assert complained.startswith("Interrupted. Finished work is kept")
    assert complained.count("\n") == 1


def _workers(study: int) -> list[Path]:
    """Return what /proc has of the workers of a study."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == study and b"LokyProcess" in (process / "cmdline").read_bytes():
                found.append(process)
    return found


_ONE_RUN = """
import sys
from pathlib import Path
from normwise.records import RunConfig
from normwise.studies import workers
run = RunConfig("dense_bn", "digits", "batch", 10**9, 20, 0.1, 0, 10**8, train_samples=100, test_samples=50)
for _ in workers.runs_in_parallel([(Path(sys.argv[1]), run)], 2):
    pass
"""


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="no /proc, which tells whose children are whose"
)
def test_workers_end_with_a_study_that_is_killed_before_each_has_a_run(tmp_path: Path) -> None:
    # Of two workers one gets the only run, and the other never gets any.
    study = subprocess.Popen(
        [sys.executable, "-c", _ONE_RUN, str(tmp_path / "run")], stderr=subprocess.DEVNULL
    )
    while len(workers := _workers(study.pid)) < 2:
        assert study.poll() is None
        time.sleep(0.01)
    study.kill()
    study.wait()
    ends = time.monotonic() + 100
    while any(process.exists() for process in workers):
        assert time.monotonic() < ends, "a worker outlives its study"
        time.sleep(0.1)


def test_a_damaged_run_is_named(tmp_path: Path, quick: Preset) -> None:
    run_study(quick, [SmallClaim()], tmp_path)
    damaged = next(tmp_path.glob("runs/*/run.json"))
    damaged.write_text("{")
    with pytest.raises(RunError, match=damaged.parent.name):
        run_study(quick, [SmallClaim()], tmp_path)


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
    subprocess.run(command, capture_output=True, text=True, check=True)
    study = from_plain(Study, json.loads((tmp_path / "study.json").read_text()))
    assert [finding.claim for finding in study.findings] == ["useless_bias"]
    after = _finished(tmp_path)
    assert all(after[path] == when for path, when in finished.items())
    (claim,) = claims_named(("useless_bias",))
    assert len(after) == len(claim.runs(preset_named("quick"), lambda search: search.rates[0]))
    assert (tmp_path / "report.html").exists()


def _finished(out: Path) -> dict[Path, int]:
    """Return the time at which each finished run ended."""
    return {
        path: when for path, when in _times(out).items() if json.loads(path.read_text())["result"] is not None
    }
