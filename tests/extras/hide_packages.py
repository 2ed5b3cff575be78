"""Packages that are installed, hidden from an interpreter, as if ``pip install normwise`` were all that was done."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]


def hide(packages: Iterable[str]) -> None:
    """Let imports of these packages fail from now on, as those of packages that are not installed."""
    hidden = frozenset(packages)
    assert hidden.isdisjoint(sys.modules)
    sys.meta_path[:] = [_Hiding(finder, hidden) for finder in sys.meta_path]


def run_without(packages: Iterable[str], code: str, folder: Path) -> str:
    """Run Python in a folder, in a process of its own, without these packages, and return what it prints."""
    hiding = f"from tests.extras.hide_packages import hide\nhide({sorted(packages)})\n"
    done = subprocess.run(
        [sys.executable, "-c", hiding + code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class _Hiding:
    """A finder of modules that does not find some."""

    def __init__(self, finder: Any, hidden: frozenset[str]) -> None:
        self._finder, self._hidden = finder, hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] in self._hidden:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)
