"""The kernels for GPUs, interpreted on the CPU: `make test` runs these tests in a process of their own.

Triton decides when it is imported whether kernels are compiled or interpreted.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from normwise.kernels import dispatch
from tests.kernels.triton.interpreted.pairs import sum_in_pairs
from tests.kernels.triton.interpreted.watched import WatchedBackend

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _obstacle() -> str:
    """Return the reason why nothing can be interpreted here."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    import triton

    if _numbers(triton.__version__) < (3, 9) and _numbers(np.__version__) >= (2, 4):
        return f"Triton {triton.__version__} can't interpret bounds of loops with NumPy {np.__version__}"
    return ""


@pytest.fixture(scope="session")
def interpreter() -> None:
    """Triton's interpreter, where it works."""
    reason = _obstacle()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def triton(interpreter: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedBackend]:
    """The backend that interprets the kernels: all calls go to it, and those that it declines to torch's operators."""
    from triton.runtime.interpreter import ReduceOps

    def add_up(self: Any, values: Any) -> Any:
        total = sum_in_pairs(values.handle.data, self.axis, self.keep_dims)
        return self.to_tensor(total, values.dtype)

    monkeypatch.setattr(ReduceOps, "sum", add_up)
    backend = WatchedBackend()
    monkeypatch.setattr(dispatch, "BACKENDS", (backend,))
    # NumPy, which interprets, would warn of numbers that are none.
    before = np.seterr(all="ignore")
    yield backend
    np.seterr(**before)


@pytest.fixture(autouse=True)
def _nothing_is_read_before_it_is_written() -> Iterator[None]:
    """Memory that torch allocates is NaN, and the largest number of an integer type."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
