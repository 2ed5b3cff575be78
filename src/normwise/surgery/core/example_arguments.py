"""The user's example as arguments of the model."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import ArgumentError
from normwise.statistics import Batch, arguments_of
from normwise.statistics.model_inputs import arguments_for

#: Positional and keyword arguments of a call.
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def example_arguments(model: nn.Module, example: Batch) -> Arguments:
    """Return the arguments of the model for an example, as copies.

    A forward pass may write into its input, so it never gets the user's own tensors.

    Raises:
        ArgumentError: the example proves nothing, since it has no values, or no finite value.
    """
    # Without a model that can be asked: check_model says so afterwards.
    is_model = isinstance(model, nn.Module)
    arguments = copied(arguments_for(model, example) if is_model else arguments_of(example))
    tensors = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, Tensor)]
    if tensors and not any(tensor.numel() for tensor in tensors):
        raise ArgumentError(
            f"the example has no values: its shape is {tuple(tensors[0].shape)}; pass one batch of real data"
        )
    for tensor in tensors:
        if tensor.is_meta:
            raise ArgumentError(
                "the example is on the meta device, and has no values; pass one batch of real data"
            )
        if tensor.is_floating_point() and tensor.numel() and not tensor.isfinite().any():
            raise ArgumentError(
                f"the example has a tensor of shape {tuple(tensor.shape)} without one finite number, on which nothing "
                "can be compared; pass one batch of real data"
            )
    return arguments


def copied(arguments: Arguments) -> Arguments:
    """Return the arguments with copied tensors, for one call of a model that may write into them."""
    return pytree.tree_map(_copy, arguments)


def varied(arguments: Arguments) -> Arguments:
    """Return the arguments with normal random numbers added to floating tensors, the same each time."""
    generator = torch.Generator().manual_seed(0)

    def vary(value: Any) -> Any:
        value = _copy(value)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        return value + torch.randn(value.shape, generator=generator).to(value)

    return pytree.tree_map(vary, arguments)


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        # A tensor made in inference mode can't be used in a pass with gradients.
        with torch.inference_mode(False):
            return value.detach().clone()
    if isinstance(value, nn.Module):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # an object that can't be copied is passed to the model unchanged
        return value
