"""The backend that serves a case."""

from normwise.benchmark.cases import Case, layers
from normwise.kernels import Call
from normwise.kernels.backend import BACKENDS


def served_by(case: Case) -> str:
    """Return a description of the backend that computes our layer's calls, or "torch's operators"."""
    _, layer = layers(case)
    x = case.tensor()
    call = Call(
        x,
        layer.running_mean,
        layer.running_var,
        layer.weight,
        layer.bias,
        training=case.trains,
        activation=layer.activation,
        residual=x if case.work == "add_relu" else None,
        counter=layer.num_batches_tracked,
    )
    for backend in BACKENDS:
        if backend.covers(call):
            return backend.description
    return "torch's operators"
