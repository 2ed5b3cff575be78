"""Backward passes that are left out."""

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class SkipBackward(TorchFunctionMode):
    """Leave out each ``backward()``, for a loss that makes whole training steps where nothing is to be trained.

    Without gradients ``optimizer.step()`` passes every parameter over.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call everything else."""
        return None if func is Tensor.backward else func(*args, **(kwargs or {}))
