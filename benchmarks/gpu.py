"""Batch normalization on a GPU: first whether it is right there, then how fast it is, in one command.

Run: python benchmarks/gpu.py [--seconds 450] [--out gpu.json]
     python benchmarks/gpu.py --only operators,steps
     python benchmarks/gpu.py --dry-run

A dry run goes through all sections in small on the CPU: it proves that the script runs to its end.

It needs this repository and torch 2.8 or newer, nothing else, and is meant to take less than eight minutes. Checks run
first, several processes at a time; then the figures, in a process of their own with the GPU to itself. What each
process has found is in the JSON file as soon as it is known, so that a run that is cut keeps its figures. At the end
stands the table of figures to reach, with what was measured, and the number of checks that passed, failed and were
skipped, since the device can't be put to them. The exit code is 1 where a check failed, 2 where an argument is wrong,
else 0; a figure that falls short is no failure.
"""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# This folder has modules of common names, which are not to be imported for others.
sys.path[:] = [
    str(_ROOT / "src"),
    str(_ROOT),
    *(path for path in sys.path if Path(path).resolve() != _ROOT / "benchmarks"),
]

from benchmarks.cuda.main import main  # noqa: E402 (the path comes first)

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve()))
