"""Implementations of batch normalization, and the types with which each runs code of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch

TORCH = "torch's operators"
KERNELS = "kernels"
#: The one that a call gets. It is torch's for types that the kernels don't cover.
CHOSEN = "chosen"

#: Types of an input that the kernels cover.
COVERED = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class Types:
    """Type of input, residual and output, and of parameters and statistics."""

    x: torch.dtype
    parameters: torch.dtype

    def __str__(self) -> str:
        names = (str(dtype).removeprefix("torch.") for dtype in dict.fromkeys((self.x, self.parameters)))
        return "-".join(names)


TYPES = [
    Types(torch.float64, torch.float64),
    Types(torch.float32, torch.float32),
    Types(torch.bfloat16, torch.bfloat16),
    Types(torch.float16, torch.float16),
    Types(torch.bfloat16, torch.float32),
    Types(torch.float16, torch.float32),
]


def implementations_of(x: torch.dtype) -> tuple[str, ...]:
    """Return the implementations that run different code for an input of this type."""
    return (TORCH, KERNELS) if x in COVERED else (CHOSEN,)


#: Every distinct pair of an implementation and types, by name, for :func:`tests.support.grids.grid`.
PAIRS: Mapping[str, tuple[str, Types]] = {
    f"{implementation}-{types}": (implementation, types)
    for types in TYPES
    for implementation in implementations_of(types.x)
}


def each_type(*dtypes: torch.dtype) -> Any:
    """Return a mark that runs a test with each of these as ``dtype``, and each distinct ``implementation``."""
    cases = [
        pytest.param(implementation, dtype, id=f"{implementation}-{dtype}")
        for dtype in dtypes
        for implementation in implementations_of(dtype)
    ]
    return pytest.mark.parametrize(("implementation", "dtype"), cases, indirect=["implementation"])
