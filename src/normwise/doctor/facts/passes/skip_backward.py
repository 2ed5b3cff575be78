"""Context that skips backward passes."""

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class SkipBackward(TorchFunctionMode):
    """Skip each ``backward()``, for a loss that makes whole training steps when nothing must be trained.

    Without gradients ``optimizer.step()`` skips every parameter.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call everything else."""
        return None if func is Tensor.backward else func(*args, **(kwargs or {}))
