"""The examples run as they stand, each in a folder of its own, and say what they found."""

import subprocess
import sys
from pathlib import Path

import pytest

_EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", _EXAMPLES, ids=lambda path: path.stem)
def test_it_runs_and_says_something(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 3


def test_there_are_those_that_the_readme_names() -> None:
    readme = (_EXAMPLES[0].parents[1] / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in _EXAMPLES if f"examples/{path.name}" not in readme] == []
