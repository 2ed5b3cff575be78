"""Inductor's knowledge of the operator ``normwise::batch_norm``, given to it once Inductor is imported."""

import sys
from importlib import import_module
from typing import Any

import torch

from normwise.kernels.inductor import decomposition, layouts

_INDUCTOR = "torch._inductor.lowering"

_registered = False


def register_once() -> None:
    """Give Inductor the decomposition and the lowering; until Inductor is imported, do nothing and import nothing.

    Dynamo has imported Inductor before it traces a graph for it.
    """
    global _registered
    if _registered or _INDUCTOR not in sys.modules:
        return
    _registered = True
    operators = torch.ops.normwise
    table: Any = import_module("torch._inductor.decomposition")
    table.register_decomposition([operators.batch_norm.default])(decomposition.forward)
    table.register_decomposition([operators.batch_norm_backward.default])(decomposition.backward)
    # A copy of the table may have been made before.
    table.fast_random_decomps.cache_clear()
    layouts.register(import_module(_INDUCTOR))
