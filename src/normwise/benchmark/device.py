"""The device that a user asks for, and its cases."""

import torch

from normwise.benchmark.cases import CASES, Case, gpu_cases
from normwise.errors import ArgumentError


def cases_of(device: str) -> tuple[Case, ...]:
    """Return the cases of a device, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises:
        ArgumentError: the name is none of these, or there is no such device here.
    """
    kind, _, number = device.partition(":")
    if device == "cpu":
        return CASES
    if kind != "cuda" or (number or "0") not in map(str, range(256)) or device.endswith(":"):
        raise ArgumentError(
            f"--device is {device!r}; expected cpu, cuda, or cuda with a number, such as cuda:1"
        )
    if not torch.cuda.is_available():
        built = "" if torch.version.cuda or torch.version.hip else ", which was built without CUDA"
        raise ArgumentError(
            f"--device is {device!r}, and torch {torch.__version__}{built}, finds no CUDA device here. Use --device cpu"
        )
    if int(number or 0) >= torch.cuda.device_count():
        raise ArgumentError(
            f"--device is {device!r}, and there are {torch.cuda.device_count()} CUDA devices here, from cuda:0 on"
        )
    return gpu_cases(device)
