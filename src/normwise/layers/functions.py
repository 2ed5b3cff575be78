"""Functions that compute batch normalization, and calls of them."""

from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from normwise import functional, kernels

_OF_TORCH = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum")
#: Operators whose names say whether they normalise by the batch or by running statistics.
_NAMED = tuple(name for name in _OF_TORCH if name != "training")
_OF_OURS = (
    *("input", "running_mean", "running_var", "weight", "bias", "training"),
    *("momentum", "eps", "activation", "residual", "mask"),
)
#: Functions that normalise by running statistics, and the names of their first arguments.
ARGUMENTS: dict[Any, tuple[str, ...]] = {
    F.batch_norm: ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum"),
    functional.batch_norm: _OF_OURS,
    kernels.batch_norm: ("call",),
    torch.batch_norm: _OF_TORCH,
    torch.native_batch_norm: _OF_TORCH,
    torch.ops.aten.batch_norm.default: _OF_TORCH,
    torch.ops.aten.native_batch_norm.default: _OF_TORCH,
    torch.ops.aten._native_batch_norm_legit.default: _OF_TORCH,
    torch.ops.aten._native_batch_norm_legit_functional.default: _OF_TORCH,
    torch.ops.aten._native_batch_norm_legit_no_training.default: _NAMED,
    torch.ops.aten._batch_norm_with_update.default: _NAMED,
    torch.ops.aten._batch_norm_no_update.default: _NAMED,
    torch.ops.aten.cudnn_batch_norm.default: _OF_TORCH,
    torch.ops.aten.miopen_batch_norm.default: _OF_TORCH,
}
#: Those of them that normalise by the batch by default.
BY_BATCH = {torch.ops.aten._batch_norm_with_update.default}


def is_batch_norm_call(node: fx.Node) -> bool:
    """Return whether a node of a traced graph calls batch normalization as a function."""
    return node.op == "call_function" and node.target in ARGUMENTS
