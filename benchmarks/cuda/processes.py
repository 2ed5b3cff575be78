"""The processes of a run, and the rows that they have found."""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda.figures.targets import Figure, figures
from normwise import kernels

#: A process may take so much longer than its sections, to be started and to end.
_GRACE = 25.0


class Run:
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

    def start(self, names: Sequence[str], part: tuple[int, int], seconds: float) -> "Child":
        """Start a process for some sections."""
        return Child(self, list(names), part, seconds)

    def save(self) -> list[Figure]:
        """Write all that is known so far, and return the table."""
        found = figures(self.rows, self.arguments.dry_run)
        on_gpu = self.arguments.device != "cpu"
        whole = {
            "device": torch.cuda.get_device_name(self.arguments.device)
            if on_gpu
            else platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "triton": version_of("triton"),
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
            word = {True: "ok  ", False: "FAIL", None: "skip"}[row["ok"]]
            print(f"{spent:5.0f} s  {word}  {row['check']}: {row['detail']}", flush=True)
            for line in row.get("failed", ()):
                print(f"              {line}", flush=True)
        elif "error" in row or row.get("warnings") or not row.keys() & {"begun", "ended"}:
            print(f"{spent:5.0f} s  {_short(row)}", flush=True)


class Child:
    """A process with sections, and how far its file of rows has been read."""

    def __init__(self, run: Run, names: list[str], part: tuple[int, int], seconds: float) -> None:
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


def version_of(package: str) -> str:
    """Return the release of a package, or "none"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
