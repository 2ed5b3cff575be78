"""Launches of compiled kernels, by stand-ins for what Triton's compiler returns."""

from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

from normwise.kernels.triton import launcher
from normwise.kernels.triton.device import normalise
from normwise.kernels.triton.launcher import Launch

_LAUNCH = Launch(
    normalise.prepare_evaluation,
    ("*fp32", "*fp32", None, None, "*fp64", "*fp32", "i32", "fp64"),
    (128,),
    warps=1,
    grid=(3, 2),
)


class _Compiled:
    """A compiled kernel of Triton 3.4 to 3.9, which is loaded when it is first asked for ``run``."""

    packed_metadata = "metadata"

    def __init__(self) -> None:
        self.launched: list[tuple[Any, ...]] = []
        self.function: str | None = None

    @property
    def run(self):
        self.function = "function"
        return lambda *arguments: self.launched.append(arguments)


@pytest.fixture
def compiled(monkeypatch):
    """The kernels that were compiled, in order."""
    kernels: list[_Compiled] = []

    def compile_(source, options):
        kernels.append(_Compiled())
        return kernels[-1]

    monkeypatch.setattr(launcher.triton, "compile", compile_)
    monkeypatch.setattr(launcher, "_compiled", {})
    return kernels


def test_a_loaded_kernel_gets_grid_stream_and_all_arguments_in_order(compiled):
    run = launcher.runner(_LAUNCH, device=0)
    run(77, "mean", "var", None, None, "saved", "work", 64, 1e-5)
    hooks = None, None, None
    arguments = "mean", "var", None, None, "saved", "work", 64, 1e-5, 128
    assert compiled[0].launched == [(3, 2, 1, 77, "function", "metadata", *hooks, *arguments)]


def test_a_kernel_is_compiled_once_a_device(compiled):
    for device in (0, 1, 0, 1):
        launcher.runner(_LAUNCH, device)(0)
    # A loaded kernel belongs to the device on which it was loaded.
    assert [len(kernel.launched) for kernel in compiled] == [2, 2]
