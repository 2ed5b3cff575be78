"""Interruptions by Ctrl-C: at once, but after the import that they arrive in."""

import importlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from normwise.cli.interruptions import interruptions_counted

_INTERRUPTED = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\n"


def _interrupt_and_wait() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def _import_and_wait(module: str) -> None:
    importlib.import_module(module)
    time.sleep(60)  # an interruption wakes it


def test_an_interruption_is_raised_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptions_counted() as came, pytest.raises(KeyboardInterrupt):
        _interrupt_and_wait()
    assert came == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_within_an_import_is_raised_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "interrupted_half_way.py").write_text(f"{_INTERRUPTED}time.sleep(0.2)\nWHOLE = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with interruptions_counted() as came, pytest.raises(KeyboardInterrupt):
        _import_and_wait("interrupted_half_way")
    assert came
    assert sys.modules.pop("interrupted_half_way").WHOLE


def test_an_interruption_that_still_waits_at_the_end_is_counted_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "interrupted_at_last.py").write_text(_INTERRUPTED)
    monkeypatch.syspath_prepend(tmp_path)
    with interruptions_counted() as came:
        importlib.import_module("interrupted_at_last")
        del sys.modules["interrupted_at_last"]
    time.sleep(0.2)  # longer than it would have waited
    assert came == [signal.SIGINT]
