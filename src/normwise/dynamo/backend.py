"""The function that ``torch.compile(model, backend="normwise")`` calls for each graph of a model."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, fx
from torch._dynamo import lookup_backend

from normwise.dynamo.fuse import find_fusions, replace
from normwise.dynamo.fused_call import call_eagerly, call_in_graph
from normwise.dynamo.options import read_options
from normwise.errors import BatchNormWarning
from normwise.kernels import inductor as operator_under_inductor


def normwise(
    graph_module: fx.GraphModule,
    inputs: Sequence[Tensor],
    *,
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """Return the function that computes a graph, with normwise's batch normalization in it.

    Batch normalization in training, the addition of a tensor of the same shape and type behind it, and an activation
    behind that become one operator. On a CPU Inductor compiles normwise's formulas for it, together with what stands
    beside it (:mod:`normwise.kernels.inductor`). Where anything else sees a value in between, they stay apart.
    Evaluation is left to Inductor, which fuses it with the rest; where the rest is run as it is, it becomes calls of
    normwise, too.

    Args:
        graph_module: The graph that Dynamo has traced.
        inputs: Its inputs.
        mode: One of Inductor's, such as "max-autotune".
        options: ``{"rest": "eager"}`` runs everything else as it is, which needs no compiler; ``"inductor"`` is the
            default. All others are Inductor's.

    Raises:
        ArgumentError: an unknown option.
    """
    settings = read_options(mode, options)
    fusions = []
    try:
        fusions = find_fusions(graph_module.graph, evaluation=settings.eager)
    except Exception as error:
        warnings.warn(
            f'torch.compile(..., backend="normwise") leaves batch normalization to '
            f"{'torch' if settings.eager else 'Inductor'}, since it could not read the graph: "
            f"{type(error).__name__}: {error}. The model is right, and as fast as without normwise",
            BatchNormWarning,
            stacklevel=2,
        )
    if fusions:
        replace(graph_module.graph, fusions, call_eagerly if settings.eager else call_in_graph)
        graph_module.recompile()
    if settings.eager:
        return graph_module.forward
    # Now, since Inductor reads its decompositions before it traces the operator.
    operator_under_inductor.register_once()
    inductor: Any = lookup_backend("inductor")
    return inductor(graph_module, inputs, config_patches=dict(settings.inductor))
