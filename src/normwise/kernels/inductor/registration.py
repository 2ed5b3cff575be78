"""Inductor's knowledge of the operator ``normwise::batch_norm``, given to it once it is needed."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch._guards import CompileContext

from normwise.kernels.inductor import decomposition, layouts

_TABLE = "torch._inductor.decomposition"

#: What is to be done with a module of Inductor, by its name.
_waiting: dict[str, Callable[[Any], None]] = {
    _TABLE: decomposition.register,
    "torch._inductor.lowering": layouts.register,
}


def register_once() -> None:
    """Give Inductor the decompositions and the lowerings, each once its module is imported.

    Under torch.compile the first module is imported here: with ``fullgraph=True`` Dynamo traces the operator before it
    imports Inductor, and Inductor reads its decompositions before it traces the operator.
    """
    if not _waiting:
        return
    compiling = CompileContext.try_get() is not None
    for name in tuple(_waiting):
        if name in sys.modules or (compiling and name == _TABLE):
            # Another thread may have been here meanwhile.
            register = _waiting.pop(name, None)
            if register is not None:
                register(import_module(name))
