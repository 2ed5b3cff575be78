"""The backend that serves a call."""

from torch import Tensor

from normwise.benchmark.cases import Case, layers
from normwise.kernels import Call
from normwise.kernels.backend import BACKENDS
from normwise.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d

#: The description of a call that no compiled backend covers.
TORCH = "torch's operators"


def served_by(case: Case) -> str:
    """Return a description of the backend that computes our layer's calls, or :data:`TORCH`."""
    x = case.tensor()
    return layer_served_by(layers(case)[1], x, x if case.work == "add_relu" else None)


def layer_served_by(
    layer: BatchNorm1d | BatchNorm2d | BatchNorm3d,
    x: Tensor,
    residual: Tensor | None = None,
    mask: Tensor | None = None,
) -> str:
    """Return the same for one call of a layer that keeps running statistics or is in training mode."""
    call = Call(
        x,
        layer.running_mean,
        layer.running_var,
        layer.weight,
        layer.bias,
        training=layer.training or layer.running_mean is None,
        momentum=layer.momentum,
        eps=layer.eps,
        activation=layer.activation,
        residual=residual,
        mask=mask,
        counter=layer.num_batches_tracked,
        inplace=layer.inplace,
    )
    for backend in BACKENDS:
        if backend.covers(call):
            return backend.description
    return TORCH
