"""The script ``benchmarks/gpu.py`` in small on the CPU: it runs to its end, even where only torch is installed."""

import json
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.cuda import child
from benchmarks.cuda.checks import cuda_tests, values
from benchmarks.cuda.figures.targets import figures, table
from benchmarks.cuda.place import Place
from benchmarks.cuda.processes import Run
from benchmarks.cuda.sections import SECTIONS, Section

ROOT = Path(__file__).resolve().parents[2]
#: What the machine with the GPU doesn't have: whatever normwise depends on beside torch and NumPy, and normwise itself.
NOT_THERE = """
import importlib.metadata, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("typer", "rich", "jinja2", "plotly", "pooch", "sklearn", "PIL", "pydantic"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
found = importlib.metadata.version

def version(name):
    if name == "normwise":
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)

importlib.metadata.version = version
"""


def run(
    *arguments: str | Path, bare: Path | None = None, pytest_options: str = ""
) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": pytest_options}
    if bare is not None:
        (bare / "sitecustomize.py").write_text(NOT_THERE)
        environment["PYTHONPATH"] = str(bare)
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_a_dry_run_ends_with_the_table_and_a_file_of_all_rows(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = run("--dry-run", "--only", "exactness,host,memory", "--out", out, bare=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dry run on cpu: 6 checks passed, 0 failed, 0 skipped; " in done.stdout
    record = json.loads(out.read_text())
    assert record["dry_run"]
    assert record["torch"] == torch.__version__
    assert {row["section"] for row in record["rows"]} == {"exactness", "host", "memory"}
    assert not [row for row in record["rows"] if "error" in row]
    host = [figure for figure in record["figures"] if figure["case"].startswith("host time")]
    assert all(figure["measured"] > 0 and figure["verdict"] == "dry run" for figure in host)
    assert [figure["verdict"] for figure in record["figures"] if "ResNet" in figure["case"]] == [
        "not measured"
    ] * 6


def test_the_tests_for_cuda_need_no_plugin_of_pytest_and_are_skipped_without_a_gpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = run("--dry-run", "--only", "tests", "--out", out, pytest_options="-p no:timeout -p no:xdist")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert [row["check"] for row in rows] == list(cuda_tests.FILES)
    if not torch.cuda.is_available():
        assert "0 checks passed, 0 failed, 3 skipped; " in done.stdout
        assert all(row["ok"] is None and " skipped" in row["detail"] for row in rows)


def test_a_failing_test_for_cuda_is_a_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_wrong.py").write_text("def test_wrong():\n    assert 1 == 2\n")
    monkeypatch.setattr(cuda_tests, "FILES", ("test_wrong.py",))
    (row,) = cuda_tests.run_cuda_tests(tmp_path, 60)
    assert row["ok"] is False
    assert "1 failed" in row["detail"]


def test_tests_for_cuda_without_time_are_skipped(tmp_path: Path) -> None:
    rows = list(cuda_tests.run_cuda_tests(tmp_path, 0.75))
    assert [row["ok"] for row in rows] == [None] * 3
    assert "1 s are left; it needs 20" in rows[0]["detail"]


def test_every_file_of_tests_for_cuda_is_run() -> None:
    there = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("test_cuda.py"))
    assert sorted(cuda_tests.FILES) == there


def test_without_a_gpu_the_script_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run()
    assert done.returncode == 2
    assert "finds no CUDA device here; --dry-run" in done.stderr


#: Those that compile something take a minute.
QUICK = ("values", "behaviour", "exactness", "large", "operators", "host", "memory")


@pytest.mark.parametrize("name", QUICK)
def test_a_section_yields_rows_without_a_failure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cuda.checks.behaviour._compiled", _named("Not compiled."))
    rows = list(SECTIONS[name].rows(Place("cpu", True, time.monotonic() + 60)))
    assert rows
    assert not [row for row in rows if row.get("ok") is False or "error" in row], rows


def test_what_a_dry_run_cannot_check_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place("cpu", True, time.monotonic() + 60)
    large = list(SECTIONS["large"].rows(place))
    assert [row["ok"] for row in large] == [None] * 3
    assert large[0]["detail"] == "not checked: the tensor of a dry run has 1,536 elements"
    for name in ("_same_bits", "_empty_batches", "_one_position", "_autocast", "_compiled", "_turned_off"):
        monkeypatch.setattr(f"benchmarks.cuda.checks.behaviour.{name}", _named("Right."))
    rows = [row for row in SECTIONS["behaviour"].rows(place) if row["check"] != "Right"]
    assert {(row["ok"], row["detail"]) for row in rows} == {(None, "not checked: it needs a GPU")}
    assert "Check a second device" in {row["check"] for row in rows}


def test_values_without_time_are_skipped() -> None:
    (row,) = values.check_values(Place("cpu", False, time.monotonic(), (0, 7)))
    assert row["ok"] is None
    assert row["detail"] == "not checked: no time was left"


def _named(text: str) -> Any:
    def check(place: Place) -> None: ...

    check.__doc__ = text
    return check


def test_a_wrong_value_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    right = values._step

    def wrong(options: Any, layer: Any, *tensors: Any) -> dict[str, torch.Tensor]:
        found = right(options, layer, *tensors)
        return found | {"grad_x": found["grad_x"] * (1 + 1e-2 * (tensors[0].dtype is not torch.float64))}

    monkeypatch.setattr(values, "_step", wrong)
    (row,) = values.check_values(Place("cpu", True, time.monotonic() + 60))
    assert not row["ok"]
    assert "grad_x is" in row["failed"][0]


def test_rows_found_before_an_error_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(place: Place):
        yield {"one": 1}
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setitem(SECTIONS, "host", Section("host", rows, 10))
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    file = tmp_path / "rows.jsonl"
    assert child.run_sections(["host", "memory"], (0, 1), "cpu", True, 60, file) == child.BROKEN
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["section"] for row in found] == ["host"] * 4
    assert found[1]["one"] == 1
    assert "illegal memory access" in found[2]["error"]


STAND_IN = """
import json, sys

rows = sys.argv[sys.argv.index("--rows") + 1]
with open(rows, "a") as file:
    file.write(json.dumps({"section": "operators", "begun": True}) + "\\n")
    file.write(json.dumps({"section": "operators", "ratio": 2.0}) + "\\n")
print("CUDA error: a launch failed")
sys.exit(3)
"""


def test_another_process_goes_on_behind_the_section_that_broke_one(tmp_path: Path) -> None:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    folder = tmp_path / "rows"
    folder.mkdir()
    arguments = Namespace(
        seconds=60.0, device="cpu", dry_run=True, only="operators,host", out=tmp_path / "gpu.json"
    )
    running = Run(script, arguments, folder)
    assert running.start(["operators", "host"], (0, 1), 60).gather() == ["host"]
    *found, error = running.rows
    assert [row.get("ratio") for row in found] == [None, 2.0]
    assert error["section"] == "operators"
    assert error["error"] == "ended early, with code 3: CUDA error: a launch failed"
    assert len(json.loads((tmp_path / "gpu.json").read_text())["rows"]) == 3


def test_the_table_says_what_was_reached() -> None:
    shares = [
        {"ratio": 2.0, "megabytes": 206, "limit_share": 0.9},
        {"ratio": 8.0, "megabytes": 206, "limit_share": 0.4},
    ]
    rows: list[dict[str, Any]] = [
        {"group": "relu bfloat16 NHWC", "shape": shape} | row
        for shape, row in zip(("128×64×112×112 NHWC", [128, 256, 56, 56]), shares, strict=True)
    ]
    rows += [
        {"host": "forward and backward, float32", "ratio": 0.5, "ours_us": 200.0, "torch_us": 100.0},
        {"step": "NHWC eager over accelerated", "how": "called", "ms": [30.0, 20.0], "ratio": 1.5},
        {"step": "NHWC eager over accelerated", "how": "graph", "ms": [28.0, 15.0], "ratio": 1.87},
        {"memory": "", "share": 0.5},
    ]
    found = {figure.case: (round(figure.measured, 3), figure.verdict) for figure in figures(rows)}
    assert found["BN+ReLU, bf16, channels last, mean"] == (4.0, "reached")
    assert found["BN+ReLU, bf16, channels last, least"] == (2.0, "reached")
    assert found["share of the limit at 100 MB and more, BN+ReLU, bf16, mean"] == (0.6, "falls short")
    host = "host time of a call over eager's, (60, 100), forward and backward, "
    assert found[f"{host}float32"] == (2.0, "falls short")
    assert found["ResNet-50 step, channels last, accelerated, called"] == (1.5, "reached")
    assert found["ResNet-50 step, channels last, accelerated, CUDA graph, over eager called"] == (
        2.0,
        "reached",
    )
    assert found["memory kept for backward, BN+leaky ReLU, inplace=True, over eager's"] == (0.5, "reached")
    lines = table(figures(rows)).splitlines()
    assert len(lines) == len(found) + 2
    assert lines[1].endswith("reached (of 2 shapes) [a]")
    assert lines[-1] == "[a] over the shapes 128×64×112×112, 128×256×56×56"
    assert sum("not measured" in line for line in lines) == len(found) - 7
    assert "benchmarks/training/training_step.py --compile" in next(
        line for line in lines if "ResNet-20" in line
    )
    assert {figure.verdict for figure in figures(rows, dry_run=True)} == {"dry run", "not measured"}
