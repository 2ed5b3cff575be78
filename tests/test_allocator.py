"""Tuning malloc, in a process of its own: it can't be undone."""

import platform
import subprocess
import sys

import pytest

import normwise
from normwise.process import allocator

_COUNT_FAULTS = """
import resource, sys, torch, normwise
if sys.argv[1] == "tuned":
    print(normwise.tune_allocator())
def use():
    for _ in range(20):
        torch.ones(16_000_000)  # 64 MB: glibc raises its threshold by itself, but to 32 MB only
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _run(how: str) -> list[str]:
    command = [sys.executable, "-c", _COUNT_FAULTS, how]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another libc than glibc")
def test_freed_memory_is_used_again_without_asking_the_system() -> None:
    said, faults = _run("tuned")
    assert said.startswith("malloc takes tensors of up to ")
    assert int(faults) < 1000  # fresh pages of 4 KiB would be 20 times 15,625


def test_where_the_libc_is_another_one_nothing_happens_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    done = allocator.tune_allocator()
    assert done.mmap_threshold is None
    assert str(done) == "malloc was left as it is: it is not glibc's (but Darwin's)"


def test_importing_tunes_nothing() -> None:
    code = "import ctypes; real = ctypes.CDLL; calls = []; \
ctypes.CDLL = lambda *a, **k: (calls.append(a), real(*a, **k))[1]; import normwise; print((None,) in calls)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert normwise.tune_allocator is allocator.tune_allocator
