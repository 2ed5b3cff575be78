"""The command: checks, then figures, then the table."""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda.child import run_sections
from benchmarks.cuda.figures.targets import table
from benchmarks.cuda.processes import Run, version_of
from benchmarks.cuda.sections import CHECKS, FIGURES, SECTIONS
from normwise import kernels

_NAMES = ("tests", *SECTIONS)
_CUDA_TESTS = "tests/nn/tools/test_cuda.py"


def main(script: Path) -> int:
    """Run all, and return the exit code."""
    arguments = _parsed()
    if arguments.child:
        names, part = arguments.child.split(","), (arguments.part[0], arguments.part[1])
        return run_sections(
            names, part, arguments.device, arguments.dry_run, arguments.seconds, arguments.rows
        )
    if arguments.device != "cpu" and not torch.cuda.is_available():
        print(
            f"torch {torch.__version__} finds no CUDA device here; --dry-run goes through the sections on the CPU",
            file=sys.stderr,
        )
        return 2
    print(
        f"torch {torch.__version__}, Triton {version_of('triton')}, kernels: {kernels.in_use()}", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="normwise-gpu-") as folder:
        run = Run(script, arguments, Path(folder))
        _check(run)
        _measure(run)
        found = run.save()
    print(f"\n{table(found)}\n")
    failures = [row for row in run.rows if row.get("ok") is False or ("error" in row and _is_check(row))]
    print(
        f"{len(failures)} checks failed; {time.monotonic() - run.begun:.0f} s; all rows are in {arguments.out}"
    )
    return 1 if failures else 0


def _check(run: Run) -> None:
    """Run the checks at the same time, and the tests for CUDA if pytest is here."""
    seconds, dry = min(110.0, run.left() / 4), run.arguments.dry_run
    children = [
        run.start([section.name], (part, 1 if dry else section.parts), min(section.seconds, seconds))
        for section in CHECKS
        if section.name in run.wanted
        for part in range(1 if dry else section.parts)
    ]
    if "tests" in run.wanted:
        _run_tests(run, seconds)
    for child in children:
        child.gather()


def _run_tests(run: Run, seconds: float) -> None:
    row: dict[str, Any] = {"section": "tests", "check": _CUDA_TESTS, "ok": True}
    if importlib.util.find_spec("pytest") is None:
        run.note(row | {"detail": "not run: there is no pytest"})
        return
    root = run.script.parents[1]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", _CUDA_TESTS]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=seconds
        )
        said = (done.stdout + done.stderr).strip() or "nothing"
        # Its last line is a summary; a failure is told at length.
        row |= {"ok": done.returncode == 0}
        row |= {"detail": said.splitlines()[-1] if row["ok"] else said[-600:]}
    except subprocess.TimeoutExpired:
        row |= {"ok": False, "detail": f"not finished after {seconds:.0f} s"}
    run.note(row)


def _measure(run: Run) -> None:
    """Run the figures in one process; where it breaks, another goes on with the sections behind."""
    names = [section.name for section in FIGURES if section.name in run.wanted]
    while names and run.left() > 10:
        names = run.start(names, (0, 1), run.left() - 5).gather()


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(sys.modules["__main__"].__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=450.0, help="time that all may take")
    parser.add_argument("--only", default=",".join(_NAMES), help="sections, with commas: all of %(default)s")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="file of all rows and figures")
    parser.add_argument("--device", default="", help="cuda, or cuda with a number")
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes on the CPU")
    for name, kind in (("--child", str), ("--rows", Path)):
        parser.add_argument(name, type=kind, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.only.split(",")) - set(_NAMES))
    if unknown:
        parser.error(f"--only has {', '.join(unknown)}; known are {', '.join(_NAMES)}")
    arguments.device = arguments.device or ("cpu" if arguments.dry_run else "cuda")
    return arguments


def _is_check(row: dict[str, Any]) -> bool:
    return row["section"] in {section.name for section in CHECKS} - {"ahead"}
