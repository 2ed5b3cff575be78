"""Calls of batch normalization with whatever tensors there can be: right, or refused, and no crash.

Run: python -m tests.kernels.cpu.fuzz CALLS [SEED]

A call that goes wrong in compiled code may end the process, so test_fuzz.py runs this in one of its own, and `make
sanitize` under the address sanitizer. Each call is written to a file first: the last one is the one that crashed.
Results are compared with the equation in float64, computed by torch.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, seed, settings

from tests.kernels.cpu.fuzz.calls import Call, calls
from tests.kernels.cpu.fuzz.check import check


def main(count: int, first: int) -> None:
    """Make so many calls."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    made = 0
    last = Path(tempfile.gettempdir()) / f"normwise-fuzz-{os.getpid()}.txt"
    print(f"the last call is in {last}", flush=True)

    @seed(first)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        print_blob=False,
    )
    @given(calls())
    def calls_are_right_or_refused(call: Call) -> None:
        nonlocal made
        made += 1
        last.write_text(repr(call))
        check(call)

    calls_are_right_or_refused()
    last.unlink()
    print(f"{made} calls")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
