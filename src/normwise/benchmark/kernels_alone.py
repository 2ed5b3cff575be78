"""The CPU's compiled kernels alone, their outputs reused, against memory."""

from collections.abc import Sequence
from statistics import median

import torch

from normwise.benchmark.bandwidth import limit_seconds
from normwise.benchmark.cases import Case
from normwise.benchmark.clock import interleaved
from normwise.kernels import Call
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.cpu import library
from normwise.kernels.cpu.backend import CpuBackend
from normwise.records import Bandwidth


def limit_share(case: Case, bandwidths: Sequence[Bandwidth]) -> float:
    """Return the time that memory alone takes over that of the kernels; NaN for what is not measured."""
    x, grad = case.tensor(), case.tensor()
    weight, bias, mean, var = (torch.ones(case.shape[1]) for _ in range(4))
    call = Call(x, mean, var, weight, bias, training=True, activation="relu")
    if case.work != "relu" or case.dtype is not torch.float32 or not CpuBackend().covers(call):
        return float("nan")
    y, grad_x = torch.empty_like(x), torch.empty_like(x)

    def forward() -> bytearray:
        return library.forward(call, out=y)[1]

    gradient = BackwardCall(
        x,
        weight,
        bias,
        forward(),
        slope_source=None,
        grad_y=grad,
        mask=None,
        activation="relu",
        layout=call.layout,
    )

    def backward() -> None:
        library.backward(gradient, out=grad_x)

    return limit_seconds(case, bandwidths) / sum(
        median(column) for column in interleaved([forward, backward])
    )
