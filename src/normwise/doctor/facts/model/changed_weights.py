"""Signs in a model or an optimiser that weights differ from those that statistics were collected with."""

import re

from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.optim import Optimizer

_AVERAGED = re.compile(r"(^|[a-z0-9_])(Ema|EMA|SWA|Swa)|^(ema|swa)|[Aa]verag(ed|ing)")


def averaged_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that hold averages of another model's weights, such as torch's ``AveragedModel``, by path."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(getattr(module, "module", None), nn.Module)
        and ("n_averaged" in module._buffers or _AVERAGED.search(type(module).__name__))
    }


def has_computed_weights(model: nn.Module) -> bool:
    """Return whether weights are computed from others, by pruning masks or parametrizations."""
    return any(
        is_parametrized(module) or any(name.endswith("_mask") for name in module._buffers)
        for module in model.modules()
    )


def is_schedule_free(optimizer: Optimizer | None) -> bool:
    """Return whether an optimiser has a mode, as schedule-free ones have, so that evaluation has other weights."""
    return callable(getattr(optimizer, "train", None)) and callable(getattr(optimizer, "eval", None))
