"""The command: it starts the processes, gathers their rows, and prints the table."""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda.child import run_sections
from benchmarks.cuda.figures.targets import Figure, figures, table
from benchmarks.cuda.sections import CHECKS, FIGURES, SECTIONS
from normwise import kernels

#: A process may take so much longer than its sections, to be started and to end.
_GRACE = 25.0
_NAMES = ("tests", *SECTIONS)
_CUDA_TESTS = "tests/nn/tools/test_cuda.py"


class _Run:
    """One run: its settings, its time, and what its processes have found."""

    def __init__(self, script: Path, arguments: argparse.Namespace, folder: Path) -> None:
        self.script, self.arguments = script, arguments
        self.begun = time.monotonic()
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.wanted = set(arguments.only.split(","))

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.arguments.seconds - (time.monotonic() - self.begun)

    def start(self, names: Sequence[str], part: tuple[int, int], seconds: float) -> "_Child":
        """Start a process for some sections."""
        return _Child(self, list(names), part, seconds)

    def save(self) -> list[Figure]:
        """Write all that is known so far, and return the table."""
        found = figures(self.rows)
        on_gpu = self.arguments.device != "cpu"
        whole = {
            "device": torch.cuda.get_device_name(self.arguments.device)
            if on_gpu
            else platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "triton": _version("triton"),
            "python": platform.python_version(),
            "kernels": kernels.in_use(),
            "dry_run": self.arguments.dry_run,
            "seconds": round(time.monotonic() - self.begun, 1),
            "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in found],
            "rows": self.rows,
        }
        # NaN is no JSON: it is written as null.
        text = json.dumps(json.loads(json.dumps(whole), parse_constant=lambda _: None), indent=1)
        self.arguments.out.write_text(text + "\n", encoding="utf-8")
        return found

    def note(self, row: dict[str, Any]) -> None:
        """Keep a row, and print it where a reader waits for it."""
        self.rows.append(row)
        if "ended" in row:
            self.save()
        spent = time.monotonic() - self.begun
        if "check" in row:
            print(
                f"{spent:5.0f} s  {'ok  ' if row['ok'] else 'FAIL'}  {row['check']}: {row['detail']}",
                flush=True,
            )
            for line in row.get("failed", ()):
                print(f"              {line}", flush=True)
        elif "error" in row or row.get("warnings") or not row.keys() & {"begun", "ended"}:
            print(f"{spent:5.0f} s  {_short(row)}", flush=True)


class _Child:
    """A process with sections, and how far its file of rows has been read."""

    def __init__(self, run: _Run, names: list[str], part: tuple[int, int], seconds: float) -> None:
        self.run, self.names, self.part = run, names, part
        self.read, self.found = 0, list[dict[str, Any]]()
        self.file = run.folder / f"{len(list(run.folder.iterdir()))}.jsonl"
        self.file.touch()
        self.log = self.file.with_suffix(".log")
        self.ends = time.monotonic() + seconds + _GRACE
        command = [sys.executable, str(run.script), "--child", ",".join(names)]
        command += [
            "--part",
            str(part[0]),
            str(part[1]),
            "--rows",
            str(self.file),
            "--seconds",
            str(seconds),
            "--device",
            run.arguments.device,
        ]
        command += ["--dry-run"] if run.arguments.dry_run else []
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def gather(self) -> list[str]:
        """Wait for the end, keep the rows as they come, and return the sections that were not begun."""
        while self._take() is None:
            if time.monotonic() > self.ends:
                self.process.kill()
                self.process.wait()
            time.sleep(0.2)
        self._take()
        begun = {row["section"] for row in self.found if "begun" in row}
        ended = {row["section"] for row in self.found if "ended" in row}
        for name in self.names:
            if name in begun - ended or (not begun and name == self.names[0]):
                begun.add(name)
                last = self.log.read_text(encoding="utf-8", errors="replace")[-1500:].strip()
                code = self.process.returncode
                self.run.note(
                    {"section": name, "part": self.part[0], "error": f"ended early, with code {code}: {last}"}
                )
        self.run.save()
        return [name for name in self.names if name not in begun]

    def _take(self) -> int | None:
        """Keep the rows that are whole, and return the exit code if there is one."""
        code = self.process.poll()
        with self.file.open(encoding="utf-8") as file:
            file.seek(self.read)
            while (line := file.readline()).endswith("\n"):
                self.found.append(json.loads(line))
                self.run.note(self.found[-1])
                self.read = file.tell()
        return code


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
    print(f"torch {torch.__version__}, Triton {_version('triton')}, kernels: {kernels.in_use()}", flush=True)
    with tempfile.TemporaryDirectory(prefix="normwise-gpu-") as folder:
        run = _Run(script, arguments, Path(folder))
        _check(run)
        _measure(run)
        found = run.save()
    print(f"\n{table(found)}\n")
    failures = [row for row in run.rows if row.get("ok") is False or ("error" in row and _is_check(row))]
    print(
        f"{len(failures)} checks failed; {time.monotonic() - run.begun:.0f} s; all rows are in {arguments.out}"
    )
    return 1 if failures else 0


def _check(run: _Run) -> None:
    """Run the checks at the same time, and the tests for CUDA if pytest is here."""
    seconds = min(110.0, run.left() / 4)
    children = [
        run.start([section.name], (part, section.parts), min(section.seconds, seconds))
        for section in CHECKS
        if section.name in run.wanted
        for part in range(1 if run.arguments.dry_run else section.parts)
    ]
    if "tests" in run.wanted:
        _run_tests(run, seconds)
    for child in children:
        child.gather()


def _run_tests(run: _Run, seconds: float) -> None:
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


def _measure(run: _Run) -> None:
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


def _short(row: dict[str, Any]) -> str:
    """Return a row on one line."""
    cells = []
    for name, value in row.items():
        if isinstance(value, float):
            value = f"{value:.4g}"
        if isinstance(value, list) and value and all(isinstance(one, float) for one in value):
            value = "/".join(f"{one:.4g}" for one in value)
        if name not in ("case", "repetitions", "torch_host_us", "ours_host_us") and value is not None:
            cells.append(f"{name} {value}")
    return "  ".join(cells)


def _version(package: str) -> str:
    try:
        from importlib.metadata import version

        return version(package)
    except ImportError:
        return "none"
