"""Statistics of what reaches torch's batch normalization, seen at the function and not at the layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .running import Batch, call


class _Inputs(TorchFunctionMode):
    """Keeps the input of each call of ``F.batch_norm``, by its tensor of running means."""

    def __init__(self) -> None:
        super().__init__()
        self.by_mean: dict[int, list[Tensor]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.batch_norm and isinstance(args[1], Tensor):
            self.by_mean.setdefault(id(args[1]), []).append(args[0].detach().double())
        return func(*args, **(kwargs or {}))


def normalised(model: nn.Module, batches: Sequence[Batch]) -> dict[int, tuple[Tensor, Tensor, int]]:
    """Mean and variance of all values that evaluation normalises, and the number of calls, by the id of the means."""
    inputs = _Inputs()
    with torch.no_grad(), inputs:
        for batch in batches:
            call(model.eval(), batch)
    found = {}
    for key, values in inputs.by_mean.items():
        flat = torch.cat([value.transpose(0, 1).flatten(1) for value in values], 1)
        found[key] = flat.mean(1), flat.var(1), len(values)
    return found
