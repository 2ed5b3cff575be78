"""Functions that replace batch normalization, addition and activation in a graph."""

from torch import Tensor

from normwise import kernels
from normwise.kernels import Call, compiled_graphs


def call_eagerly(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
) -> Tensor:
    """Return ``activation(batch_norm(x) + residual)`` from the first backend that covers it, in an eager graph.

    Shapes were checked when the graph was traced.
    """
    return kernels.batch_norm(
        Call(x, running_mean, running_var, weight, bias, training, momentum, eps, activation, residual)
    )


def call_in_graph(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
) -> Tensor:
    """Return the same from the operator ``normwise::batch_norm``, in a graph that Inductor traces again."""
    return compiled_graphs.batch_norm(
        Call(x, running_mean, running_var, weight, bias, training, momentum, eps, activation, residual)
    )
