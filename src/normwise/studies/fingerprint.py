"""Fingerprint of everything besides configuration and data that affects the last digits of a run."""

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch

from normwise.kernels import backends_in_use, name_in_use
from normwise.records import Environment

#: Packages that a run computes with.
_PACKAGES = (
    "data",
    "distributed",
    "functional",
    "kernels",
    "layers",
    "models",
    "nn",
    "statistics",
    "training",
)


@dataclass(frozen=True)
class Fingerprint:
    """Versions, machine and code of a run.

    Attributes:
        environment: Versions and machine. Its number of cores is always 1: a run on one thread does not depend on it.
        kernels: Name of the kernels in use; on a GPU with the name of the device.
        sources: SHA-256 of the sources, since a version does not tell two checkouts apart.
        compiled_kernels: SHA-256 of the compiled kernels.
    """

    environment: Environment
    kernels: str
    sources: str
    compiled_kernels: str

    @staticmethod
    def here(device: str = "cpu") -> "Fingerprint":
        """Return the fingerprint of this process, on a device."""
        return Fingerprint(
            replace(Environment.here(), cores=1), name_in_use(device), _sources(), _compiled_kernels()
        )

    def differences(self, other: "Fingerprint") -> str:
        """Return the fields in which another fingerprint differs; empty if there are none."""
        ours, theirs = self._named(), other._named()
        return ", ".join(
            f"{name} is {theirs[name]}, expected {ours[name]}" for name in ours if ours[name] != theirs[name]
        )

    def _named(self) -> dict[str, str]:
        named = {name: str(value) for name, value in asdict(self.environment).items()}
        # Twelve digits tell two of them apart, and a reader can compare them.
        sources, compiled = self.sources[:12], self.compiled_kernels[:12]
        return named | {"kernels": self.kernels, "sources": sources, "compiled kernels": compiled}


def environment_on(device: str) -> Environment:
    """Return versions and machine, on a GPU with the name of the device beside that of the processor."""
    here = Environment.here()
    if device == "cpu":
        return here
    return replace(here, processor=f"{torch.cuda.get_device_name(device)}; {here.processor}")


# Once a process: a worker that has lived since before the sources were changed computes with the old ones.
@cache
def _sources() -> str:
    package = files("normwise")
    digest = hashlib.sha256()
    for name in _PACKAGES:
        for source in sorted(Path(str(package / name)).glob("**/*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _compiled_kernels() -> str:
    digest = hashlib.sha256()
    for backend in backends_in_use("CPU"):
        for file in backend.files:
            digest.update(file.read_bytes())
    return digest.hexdigest()
