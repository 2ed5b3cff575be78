"""Kernels compiled for a device, and launched without what Triton asks at each call.

Triton's own way specialises a kernel by its arguments' values each time that it is called, which costs the host more
than the launch. Here a kernel is compiled once for types, constants and alignment that the caller knows, and its
compiled form is called.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import triton
from triton import knobs
from triton.compiler import ASTSource

#: Types of arguments by their names in Triton.
TYPES = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.float64: "fp64",
    torch.int64: "i64",
    torch.uint8: "u8",
}
#: Whether kernels are interpreted on the CPU, for tests (``TRITON_INTERPRET=1``).
INTERPRETED = bool(knobs.runtime.interpret)


@dataclass(frozen=True)
class Launch:
    """A kernel with all that is known before it is called.

    Attributes:
        kernel: The function under ``triton.jit``.
        types: Types of its arguments before the constants: ``"*bf16"``, ``"i32"``, ``"fp64"``; None for a pointer that
            is None.
        constants: The constants behind them.
        warps: Warps of a program.
        grid: Programs along two axes.
        unaligned: Numbers of the pointers that may not be aligned to 16 bytes.
    """

    kernel: Any
    types: tuple[str | None, ...]
    constants: tuple[Any, ...]
    warps: int
    grid: tuple[int, int]
    unaligned: frozenset[int] = frozenset()

    def source(self) -> ASTSource:
        """Return what Triton compiles."""
        names = self.kernel.arg_names
        types = [*self.types, *(["constexpr"] * len(self.constants))]
        signature = {
            name: "constexpr" if kind is None else kind for name, kind in zip(names, types, strict=True)
        }
        absent = {(i,): None for i, kind in enumerate(self.types) if kind is None}
        constants = {(len(self.types) + i,): value for i, value in enumerate(self.constants)}
        aligned = {
            (i,): [["tt.divisibility", 16]]
            for i, kind in enumerate(self.types)
            if kind is not None and kind.startswith("*") and i not in self.unaligned
        }
        return ASTSource(self.kernel, signature, absent | constants, aligned)

    @property
    def options(self) -> dict[str, Any]:
        """Options of the compiler: what is to be fused is written as fma, so that all passes have the same bits."""
        return {"num_warps": self.warps, "enable_fp_fusion": False}


#: Whether the launchers of this release take what :func:`runner` gives them: those of 3.4 to 3.9 do. Later ones are
#: called as Triton's documentation says.
_KNOWN_LAUNCHERS = (3, 4) <= tuple(map(int, triton.__version__.split(".")[:2])) <= (3, 9)
#: Compiled kernels of a device, by all that they were compiled for.
_compiled: dict[tuple[Any, ...], Any] = {}


def runner(launch: Launch, device: int) -> Callable[..., None]:
    """Return a function that launches a kernel, of the stream and of the arguments before the constants.

    The kernel is compiled and loaded here: what fails, fails before anything is launched.

    Args:
        launch: The kernel.
        device: The number of the device, which is the current one: a loaded kernel belongs to its device.
    """
    if INTERPRETED:
        return _interpreted(launch)
    key = (launch.kernel, launch.types, launch.constants, launch.warps, launch.unaligned, device)
    compiled = _compiled.get(key)
    if compiled is None:
        compiled = _compiled[key] = triton.compile(launch.source(), options=launch.options)
    columns, rows = launch.grid
    constants = launch.constants
    if not _KNOWN_LAUNCHERS:
        start = compiled[(columns, rows, 1)]

        def run(stream: int, *arguments: Any) -> None:
            start(*arguments, *constants, stream=stream)

        return run
    # To ask for `run` loads the kernel, and with it comes the function.
    launcher = compiled.run
    function, metadata = compiled.function, compiled.packed_metadata

    def run_directly(stream: int, *arguments: Any) -> None:
        # As Triton calls it, but without metadata for hooks of profilers, and these hooks, which cost as much again.
        launcher(columns, rows, 1, stream, function, metadata, None, None, None, *arguments, *constants)

    return run_directly


def _interpreted(launch: Launch) -> Callable[..., None]:
    start, constants = launch.kernel[(*launch.grid, 1)], launch.constants

    def run(stream: int, *arguments: Any) -> None:
        start(*arguments, *constants)

    return run
