"""Call of a model with one batch of the user's data."""

from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import ModelError


def run_batch(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], number: int) -> None:
    """Call the model with copies of the arguments, on its device.

    They are copies because a forward pass may change its input in place, and another pass reads the data again.

    Args:
        model: Model to call.
        args, kwargs: Arguments of the model.
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
