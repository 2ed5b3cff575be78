"""The command: checks, then figures, then the table."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda.arguments import parsed
from benchmarks.cuda.checks.cuda_tests import run_cuda_tests
from benchmarks.cuda.child import run_sections
from benchmarks.cuda.figures.targets import table
from benchmarks.cuda.processes import Run, version_of
from benchmarks.cuda.sections import CHECKS, FIGURES
from normwise import kernels


def main(script: Path) -> int:
    """Run all, and return the exit code."""
    arguments = parsed()
    if arguments.child:
        names, part = arguments.child.split(","), (arguments.part[0], arguments.part[1])
        return run_sections(
            names, part, arguments.device, arguments.dry_run, arguments.seconds, arguments.rows
        )
    print(
        f"torch {torch.__version__}, Triton {version_of('triton')}, kernels: {kernels.in_use()}", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="normwise-gpu-") as folder:
        run = Run(script, arguments, Path(folder))
        _check(run)
        _measure(run)
        found = run.save()
    print(f"\n{table(found)}\n")
    counts, failed = _counted(run.rows)
    dry = f"dry run on {arguments.device}: " if arguments.dry_run else ""
    spent = time.monotonic() - run.begun
    print(f"{dry}{counts}; {spent:.0f} s; all rows are in {arguments.out}")
    return 1 if failed else 0


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
        for row in run_cuda_tests(run.script.parents[1], seconds):
            run.note(row)
    for child in children:
        child.gather()


def _measure(run: Run) -> None:
    """Run the figures in one process; where it breaks, another goes on with the sections behind."""
    names = [section.name for section in FIGURES if section.name in run.wanted]
    while names and run.left() > 10:
        names = run.start(names, (0, 1), run.left() - 5).gather()
    for name in names:
        run.note({"section": name, "error": "no time was left"})


def _counted(rows: list[dict[str, Any]]) -> tuple[str, int]:
    """Return in words how many checks passed, failed and were skipped, and how many failed."""
    verdicts = [row["ok"] for row in rows if "check" in row]
    passed, skipped = verdicts.count(True), verdicts.count(None)
    checks = {section.name for section in CHECKS} - {"ahead"}
    failed = verdicts.count(False) + sum("error" in row and row["section"] in checks for row in rows)
    return f"{passed} checks passed, {failed} failed, {skipped} skipped", failed
