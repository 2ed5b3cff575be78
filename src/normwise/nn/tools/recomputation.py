"""Detection of forward passes that activation checkpointing repeats."""

import torch

# Bound once, since Python dominates the cost of small calls.
_graph_task_id = torch._C._current_graph_task_id
_is_compiling = torch.compiler.is_compiling


def is_recomputed() -> bool:
    """Return whether a backward pass is running in this thread: a forward pass within it is a recomputation.

    Both variants of ``torch.utils.checkpoint`` call the module again from within the backward pass. A compiled
    graph contains the recomputation without another call, so it can't use this.
    """
    return not _is_compiling() and _graph_task_id() != -1
