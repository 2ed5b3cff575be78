"""The examples run as they stand, each in a folder of its own, and say what they found."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

_EXAMPLES = Path(__file__).parents[2] / "examples"
#: What each must print: a pattern, and a comparison of its groups as numbers.
_SAID = {
    "add_batch_norm": (
        r"epoch 3: ([\d.]+)% without, ([\d.]+)% with BN",
        lambda without, with_: without < 50 < with_,
    ),
    "fold_before_export": (r"(\d) of (\d) folded; largest", lambda folded, all_: folded == all_ > 0),
    "freeze_for_fine_tuning": (
        r"before +old task ([\d.]+)%[\s\S]*\n"
        r"and normwise.freeze +old task ([\d.]+)%.*by up to ([\d.]+) σ\nthawed again: 1, 5",
        lambda before, after, moved: before == after and moved == 0,
    ),
    "padded_sequences": (
        r"over padding, too .*change by ([\d.e+-]+) with 500[\s\S]*left out .*change by ([\d.e+-]+) with 500",
        lambda with_, without: with_ > 0.1 and without < 1e-4,
    ),
    "recalibrate_after_averaging": (
        r"old statistics +([\d.]+)%\nafter update_bn +[\d.]+%\n"
        r"after normwise.calibrate +([\d.]+)%\nrunning statistics were",
        lambda before, after: before < after,
    ),
    "synchronised_statistics": (
        r"local BN +weights ([\d.e+-]+) from one process, running means ([\d.e+-]+) σ[\s\S]*"
        r"local BN, merged .* running means ([\d.e+-]+) σ[\s\S]*"
        r"synchronised BN +weights ([\d.e+-]+) from one process, running means ([\d.e+-]+) σ",
        lambda local, apart, merged, weights, means: weights < 1e-4 < local and merged == means == 0 < apart,
    ),
}


@pytest.mark.parametrize("path", sorted(_EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_it_runs_and_says_what_it_found(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    pattern, holds = _SAID[path.stem]
    found = re.search(pattern, done.stdout)
    assert found, done.stdout
    assert holds(*map(float, found.groups())), done.stdout


def test_there_are_those_that_the_page_about_surgery_names() -> None:
    page = (_EXAMPLES.parent / "docs/surgery.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"examples/(\w+)\.py", page)) == sorted(_SAID)
