"""Some of the calls of `fuzz`, in a process of its own: what ends it is a failure here, and not of the whole suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: More of them: `make sanitize`.
CALLS = 700
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kernels", ["", "torch"], ids=["kernels", "torch's operators"])
def test_whatever_the_tensors_are_a_call_is_right_or_refused(kernels: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.kernels.cpu.fuzz", str(CALLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NORMWISE_KERNELS": kernels, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr[-6000:]}"
    assert done.stdout.splitlines()[-1] == f"{CALLS} calls"
