"""Dispatch of calls with the moments of a union of batches: to a compiled backend, else to torch's operators."""

import torch
from torch import Tensor

from normwise.kernels.backend import STAGED_BACKENDS
from normwise.kernels.call import Call
from normwise.kernels.eager import is_eager
from normwise.kernels.memory import check_memory
from normwise.kernels.merged import autograd, on_torch
from normwise.kernels.merged.merger import Merger


def merged_batch_norm(call: Call, merger: Merger) -> Tensor:
    r"""Return the output of a training call normalised by the moments of a union, and update its statistics.

    With the parts :math:`k` of the union, counts :math:`m_k` and :math:`m = \sum_k m_k`:

    .. math::

        \mu = \sum_k \frac{m_k}{m} \mu_k \qquad
        \sigma^2 = \sum_k \frac{m_k}{m} \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    The gradient of the input is that of the whole union; those of γ and β are over this part only, as for all other
    parameters.

    Raises:
        ShapeError: the union has one value per channel, and there is no mask.
    """
    x, mean, var, weight, bias = call.x, call.running_mean, call.running_var, call.weight, call.bias
    if not torch.compiler.is_compiling():
        if is_eager(x, mean, var, weight, bias, call.residual, call.mask, call.counter):
            for backend in STAGED_BACKENDS:
                if backend.covers(call):
                    return autograd.merged_batch_norm(backend, call, merger)
        if x.is_cpu:
            check_memory(x, mean, var, weight, bias, call.residual, call.mask, call.counter)
    return on_torch.merged_batch_norm(call, merger)
