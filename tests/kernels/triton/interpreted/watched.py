"""The backend for GPUs on the CPU, and what it was asked for."""

from typing import Any

from torch import Tensor

from normwise.kernels.backward_call import BackwardCall, Gradients
from normwise.kernels.call import Call
from normwise.kernels.triton.backend import TritonBackend


class WatchedBackend(TritonBackend):
    """Interprets the kernels on the CPU; notes the plans of its passes, and the statistics that a forward pass saved.

    Its dispatch key stays the GPU's: the operator of compiled graphs has its own backend on the CPU.
    """

    def __init__(self) -> None:
        super().__init__("cpu")
        self.forwards: list[Any] = []
        self.backwards: list[Any] = []
        self.kept: Tensor | None = None

    def forward(self, call: Call, batch: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.forwards.append(call.layout)
        y, self.kept = super().forward(call, batch)
        return y, self.kept

    def backward(self, call: BackwardCall) -> Gradients:
        self.backwards.append(call.layout)
        return super().backward(call)
