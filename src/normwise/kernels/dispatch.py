"""Which implementation a call gets: the compiled kernels wherever they cover it, else torch's operators.

The size of the input decides nothing: the same call has the same statistics, and the same errors, whatever it is.
"""

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from normwise.kernels import torch_backend as torch_operators
from normwise.kernels.cpu import autograd as native_autograd
from normwise.kernels.cpu import compiled_graphs as native_operators
from normwise.kernels.cpu import library as native
from normwise.kernels.cpu.coverage import check_memory, covered, covers_types, is_eager

_FLOAT, _BFLOAT = torch.float32, torch.bfloat16


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | Tensor | None,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    counter: Tensor | None = None,
    inplace: bool = False,
) -> Tensor:
    """The equation of :func:`normwise.functional.batch_norm`; arguments are expected to be checked.

    ``counter`` is the number of batches so far, which training moves; without a momentum the running statistics
    are the plain average over them.
    """
    dtype = x.dtype
    if native.library is not None and (dtype is _FLOAT or dtype is _BFLOAT) and x.is_cpu:
        if torch.compiler.is_compiling():
            # Evaluation is left to the compiler, which fuses it with what stands around it.
            if (
                training
                and covers_types(dtype, running_mean, running_var, weight, bias)
                and (residual is None or residual.dtype is dtype)
            ):
                return native_operators.batch_norm(
                    x,
                    running_mean,
                    running_var,
                    weight,
                    bias,
                    momentum,
                    eps,
                    activation,
                    residual,
                    mask,
                    counter,
                )
        elif (
            is_eager((x, running_mean, running_var, weight, bias, residual, mask, counter))
            and (running_mean is None) == (running_var is None)
            and (
                training
                if running_mean is None or running_var is None
                else running_mean.dtype is running_var.dtype
            )
            and (call := covered(x, (weight, bias, running_mean, running_var), (residual,), mask, counter))
        ):
            return native_autograd.batch_norm(
                call.shape,
                x,
                running_mean,
                running_var,
                weight,
                bias,
                counter,
                training,
                None if momentum is None else float(momentum),
                eps,
                activation,
                call.per_element[0],
                call.mask,
                inplace,
            )
    if not torch.compiler.is_compiling() and torch._C._len_torch_function_stack() > 0:
        # The topmost mode sees one call, as it sees torch's own; what it makes of it comes here again without it.
        return handle_torch_function(
            batch_norm,
            (x,),
            x,
            running_mean,
            running_var,
            weight,
            bias,
            training,
            momentum,
            eps,
            activation,
            residual,
            mask,
            counter,
            inplace,
        )
    if x.is_cpu and not torch.compiler.is_compiling():
        check_memory(x, running_mean, running_var, weight, bias, residual, mask, counter)
    return torch_operators.batch_norm(
        x,
        running_mean,
        running_var,
        weight,
        bias,
        training,
        momentum,
        eps,
        activation,
        residual,
        mask,
        counter,
    )


def moments(x: Tensor, mask: Tensor | None = None) -> tuple[int, Tensor, Tensor]:
    """Elements a channel, and in float64 the mean and the sum of squared deviations, of ``(N, C, *)``.

    No gradient flows. Without an element the mean is 0.
    """
    x = x.detach()
    if native.library is not None and (x.dtype is _FLOAT or x.dtype is _BFLOAT) and is_eager((x, mask)):
        call = covered(x, (), (), mask)
        if call is not None:
            return native.moments(call.shape, x, call.mask)
    check_memory(x, mask)
    return torch_operators.moments(x, mask)
