"""Backend function that ``torch.compile(model, backend="normwise")`` calls for each graph of a model."""

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
    """Return a function that computes a graph with normwise's batch normalization.

    Batch normalization in training, a following addition of a tensor of the same shape and dtype, and a following
    activation become one operator. On a CPU Inductor compiles normwise's formulas for it, together with
    neighbouring operations (:mod:`normwise.kernels.inductor`). If anything else uses a value in between, they stay
    separate. Evaluation is left to Inductor, which fuses it with the rest; if the rest runs eagerly, evaluation
    becomes calls of normwise, too.

    Args:
        graph_module: Graph that Dynamo has traced.
        inputs: Inputs of the graph.
        mode: Mode of Inductor, such as "max-autotune".
        options: Options. ``{"rest": "eager"}`` runs everything else eagerly, which needs no compiler;
            ``"inductor"`` is the default. All other options are Inductor's.

    Raises:
        ArgumentError: an option is unknown.
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
    # Registered now, since Inductor reads its decompositions before it traces the operator.
    operator_under_inductor.register_once()
    inductor: Any = lookup_backend("inductor")
    return inductor(graph_module, inputs, config_patches=dict(settings.inductor))
