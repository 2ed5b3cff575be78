"""Detection of forward passes that activation checkpointing computes a second time."""

import torch

# Bound once: small calls cost what Python costs.
_graph_task_id = torch._C._current_graph_task_id
_is_compiling = torch.compiler.is_compiling


def is_recomputed() -> bool:
    """Return whether a backward pass is under way in this thread: a forward pass within it is a recomputation.

    Both variants of ``torch.utils.checkpoint`` call the module again from within the backward pass. A compiled graph
    has the recomputation without another call, and can't ask.
    """
    return not _is_compiling() and _graph_task_id() != -1
