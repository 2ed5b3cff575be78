"""A call of a model with one batch of a user's data."""

from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import ModelError


def run_batch(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], number: int) -> None:
    """Call the model with copies of the arguments, on its device.

    A forward pass may change its input in place, and another pass over the data reads it again.

    Args:
        model: Any model.
        args, kwargs: Arguments for it.
        number: Number of the batch, from 0, for the message of an error.

    Raises:
        ModelError: the model fails.
    """
    device = next(
        (tensor.device for several in (model.parameters(), model.buffers()) for tensor in several), None
    )
    args, kwargs = pytree.tree_map_only(Tensor, lambda value: value.to(device, copy=True), (args, kwargs))
    try:
        model(*args, **kwargs)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"the model fails on batch {number} (counted from 0): {error}") from error
