"""Errors for functions of torch that would replace a layer and drop its fused activation."""

import sys
from types import CodeType
from typing import Any

import torch
from torch import nn
from torch.nn.utils import fusion

from normwise.errors import ArgumentError

_FOLD = "use normwise.fold, which keeps it"
#: Code objects of these functions, which read a layer's attributes, with their names and what to do instead.
_DROPPING: dict[CodeType, tuple[str, str]] = {
    nn.SyncBatchNorm.convert_sync_batchnorm.__func__.__code__: (
        "torch.nn.SyncBatchNorm.convert_sync_batchnorm",
        'use normwise.convert(model, "sync"), which keeps it, and whose layers run on a CPU, too',
    ),
    fusion.fuse_conv_bn_eval.__code__: ("torch.nn.utils.fuse_conv_bn_eval", _FOLD),
    fusion.fuse_linear_bn_eval.__code__: ("torch.nn.utils.fuse_linear_bn_eval", _FOLD),
}


class KeepsActivation(nn.Module):
    """Base of norms with an activation, which is lost when torch makes another layer from their attributes."""

    def __getattr__(self, name: str) -> Any:
        """Look up parameters, buffers and modules; raise for a function that would drop the activation."""
        # torch.compile can't follow a look up the stack.
        if (
            name == "running_mean"
            and not torch.compiler.is_compiling()
            and getattr(self, "activation", None) is not None
        ):
            dropping = _DROPPING.get(sys._getframe(1).f_code)
            if dropping is not None:
                function, advice = dropping
                raise ArgumentError(
                    f"{function} would drop the activation {self.activation!r} that is fused into "
                    f"{type(self).__name__}; {advice}"
                )
        return super().__getattr__(name)
