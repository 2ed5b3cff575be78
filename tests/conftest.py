"""Settings of all tests: one thread per process, since the suite itself runs several processes at once."""

import math
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from normwise.kernels import in_use
from normwise.kernels.cpu import library
from tests.support.kernels.implementations import KERNELS, TORCH

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def kernels() -> None:
    """The compiled kernels. Only where no compiler was are there none: where one was, test_native.py fails."""
    if library.library is None:
        pytest.skip(f"normwise computes with {in_use()}")


@pytest.fixture(params=[TORCH, KERNELS])
def implementation(request, monkeypatch) -> str:
    """Every call by torch's operators, then every one that the kernels cover by these; `CHOSEN` where asked for."""
    if request.param == KERNELS:
        request.getfixturevalue("kernels")
    elif request.param == TORCH:
        monkeypatch.setattr(library, "library", None)
    return request.param


@pytest.fixture
def agree(implementation):
    """Asserts that tensors are torch's: to the last bit on its own operators, else but for rounding."""

    def check(got: Any, expected: Any, dtype: torch.dtype) -> None:
        # Sums in another order, and one rounding at the end instead of several on the way; without the kernels the
        # mean of float32 is taken off first.
        covered = dtype is torch.float32 or (implementation == KERNELS and dtype is torch.bfloat16)
        units = 16 * torch.finfo(dtype).eps if covered else 0.0
        pairs = zip(pytree.tree_leaves(got), pytree.tree_leaves(expected), strict=True)
        for actual, wanted in pairs:
            largest = wanted.abs().max().item() if wanted.numel() else 0.0
            atol = units * max(1.0, largest) if math.isfinite(largest) else 0.0
            torch.testing.assert_close(actual, wanted, rtol=0, atol=atol, equal_nan=True)

    return check


@pytest.fixture
def compiler_caches_cleared():
    """No compiled graphs: without it a test would meet those of the tests before it, and the recompile limit."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()
