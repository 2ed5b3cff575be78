"""The module that ``csrc/module.cpp`` is compiled to. Tensors of a call are expected to be checked."""

from torch import Tensor

from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.call import Call

#: Names of the activations by number; the first is none.
activations: tuple[str, ...]

def forward(
    call: Call, bfloat16: bool, threads: int, activation: int, out: Tensor, batch: Tensor | None
) -> bytearray: ...
def moments(call: Call, bfloat16: bool, threads: int, found: Tensor) -> int: ...
def backward(
    call: BackwardCall,
    bfloat16: bool,
    threads: int,
    activation: int,
    grad_x: Tensor,
    grad_residual: Tensor | None,
    grad_weight: Tensor,
    grad_bias: Tensor,
) -> None: ...
def normalise(
    call: Call, bfloat16: bool, threads: int, activation: int, out: Tensor, count: int, moments: Tensor
) -> bytearray: ...
def moments_gradient(
    call: BackwardCall,
    bfloat16: bool,
    threads: int,
    activation: int,
    grad_residual: Tensor | None,
    grad_weight: Tensor | None,
    grad_bias: Tensor | None,
    grad_moments: Tensor,
) -> None: ...
def input_gradient(
    call: BackwardCall,
    bfloat16: bool,
    threads: int,
    activation: int,
    grad_x: Tensor,
    grad_residual: Tensor | None,
    count: int,
    grad_moments: Tensor,
) -> None: ...
def instruction_set() -> str: ...
