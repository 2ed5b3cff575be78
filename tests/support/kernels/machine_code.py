"""Machine code of GPUs that are not there: Triton compiles for them, and its own tools read the result."""

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import triton
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget

from normwise.kernels.triton.launcher import Launch

_CUOBJDUMP = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"


@dataclass(frozen=True)
class MachineCode:
    """A compiled kernel.

    Attributes:
        registers: Registers of a thread.
        local: Bytes of a thread in local memory, where registers are spilled to, and on its stack.
        shared: Bytes of a program in shared memory.
        ptx: The code before registers are allocated.
        binary: The code.
    """

    registers: int
    local: int
    shared: int
    ptx: str
    binary: bytes

    @cached_property
    def instructions(self) -> Counter[str]:
        """Counts of the instructions in the code, as ``"LDG.E.128"``."""
        listing = _listing(self.binary, "-sass")
        found = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", listing)
        return Counter(found)

    def accesses(self, kind: str) -> Counter[int]:
        """Return how often global memory is read (``"LDG"``) or written (``"STG"``), by bytes at once."""
        widths: Counter[int] = Counter()
        for name, number in self.instructions.items():
            parts = name.split(".")
            if parts[0] == kind:
                bits = [
                    int(part.lstrip("US")) for part in parts if part.lstrip("US") in ("8", "16", "64", "128")
                ]
                widths[bits[0] // 8 if bits else 4] += number
        return widths


def machine_code(launch: Launch, capability: int) -> MachineCode:
    """Return what Triton makes of a launch for a GPU of a compute capability, as 90."""
    target = GPUTarget("cuda", capability, 32)
    compiled: Any = triton.compile(launch.source(), target=target, options=launch.options)
    binary = compiled.asm["cubin"]
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", _listing(binary, "-res-usage"))
    if found is None:
        raise RuntimeError("cuobjdump says nothing of registers")
    registers, stack, _, local = map(int, found.groups())
    return MachineCode(registers, stack + local, compiled.metadata.shared, compiled.asm["ptx"], binary)


def _listing(binary: bytes, option: str) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        done = subprocess.run([_CUOBJDUMP, option, file.name], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr
