"""Machine and versions of a measurement."""

import os
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from normwise.errors import ArgumentError


@dataclass(frozen=True)
class Environment:
    """The machine and the versions that a run or a study used."""

    normwise: str
    torch: str
    numpy: str
    python: str
    system: str
    processor: str
    cores: int

    @staticmethod
    @cache
    def here() -> "Environment":
        """Return the environment of this process."""
        return Environment(
            normwise=version("normwise"),
            torch=version("torch"),
            numpy=version("numpy"),
            python=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
            processor=_processor(),
            cores=usable_cores(),
        )


def usable_cores() -> int:
    """Return the number of cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


#: Most threads or processes, unless the machine has more cores.
_MOST_AT_ONCE = 256


def check_at_once(name: str, number: int) -> None:
    """Raise ArgumentError unless a number of threads or processes is reasonable.

    A thread has a stack of some megabytes; torch aborts the program if it gets none.
    """
    most = max(_MOST_AT_ONCE, usable_cores())
    if not 1 <= number <= most:
        raise ArgumentError(
            f"{name} is {number}; expected 1 to {most}. This machine has {usable_cores()} cores"
        )


def _processor() -> str:
    # platform.processor() is empty on most Linux systems; the kernel's own table has the name.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
