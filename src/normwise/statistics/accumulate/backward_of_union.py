"""Gradients of micro-batches that are normalised by the statistics of their union."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.errors import ArgumentError, ShapeError
from normwise.layers import layers_with_statistics
from normwise.statistics.accumulate.joint_layers import layers_joined, mismatch
from normwise.statistics.accumulate.lock_step import LockStep
from normwise.statistics.accumulate.random_stream import RandomStream
from normwise.statistics.preserve.force_eager import running_eagerly
from normwise.statistics.preserve.random_state import random_state_kept

#: Function of the model and a micro-batch that returns the mean loss of its samples, a scalar.
Loss = Callable[[nn.Module, Any], Tensor]


def backward_of_union(
    model: nn.Module, micro_batches: Iterable[Any], loss: Loss, *, weights: Sequence[float] | None = None
) -> Tensor:
    r"""Add the gradients of the union of micro-batches to ``.grad``: an exact gradient accumulation.

    .. math::

        L = \sum_k w_k \, \ell_k

    The micro-batches go through the model side by side. At each BN layer they wait for each other and are
    normalised by one call with all of them. So output, loss, gradients and running statistics are those of one
    large batch, to rounding, for any layer: masked, with an activation, ghost or synchronised. All other layers see
    one micro-batch at a time. The running statistics are updated once.

    The memory is that of the union, since the gradient of each BN layer needs all samples. Two things reduce it and
    stay exact. Parts of the model in ``torch.utils.checkpoint(..., use_reentrant=False)`` take two passes: the
    first finds the statistics of the union, and keeps the inputs of these parts; the second, in the backward pass,
    repeats one part for all micro-batches with these statistics, then the next part. And on a GPU the function may
    be called within ``torch.autograd.graph.save_on_cpu()``.

    Args:
        model: Model in training mode; a compiled model runs uncompiled.
        micro_batches: Batches for ``loss``, of equal shapes except for the first axis.
        loss: Function ``loss(model, micro_batch)`` that returns the mean loss of a micro-batch as a tensor with one
            number.
        weights: Weights :math:`w_k`; by default the shares of the samples, by the first tensor of each micro-batch.
            If the loss is a mean over something else, such as real positions, give the shares of those.

    Returns:
        The loss :math:`L`, without a gradient. Each micro-batch draws random numbers from its own stream.

    Raises:
        ModelError: the micro-batches call the layers in different orders.
        ShapeError: the inputs can't be one batch, or the loss is not one number.
        ArgumentError: the number of weights is wrong, or activation checkpointing can't repeat a layer: it is
            reentrant, or the layer is not a ``BatchNorm1d``, ``2d`` or ``3d``, torch's or ours.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
        >>> parts = torch.randn(64, 4).chunk(4)
        >>> loss = normwise.statistics.backward_of_union(model, parts, lambda model, x: model(x).square().mean())
        >>> model[1].num_batches_tracked, model[0].weight.grad.shape
        (tensor(1), torch.Size([8, 4]))
    """
    micro_batches = list(micro_batches)
    shares = shares_of(micro_batches, weights)
    streams = random_streams(len(micro_batches))
    lock_step = LockStep(streams, mismatch)
    layers = layers_with_statistics(model)
    with running_eagerly(), layers_joined(layers, lock_step):
        with random_state_kept():
            losses = lock_step.run([partial(checked_loss, loss, model, batch) for batch in micro_batches])
        total = weighted_sum(shares, losses)
        # Activation checkpointing calls the layers again, so they must still be those of the forward pass.
        total.backward()
    return total.detach()


def shares_of(micro_batches: Sequence[Any], weights: Sequence[float] | None) -> list[float]:
    """Return the weight of each micro-batch in the loss.

    Raises:
        ArgumentError: there are no micro-batches, the number of weights is wrong, or a micro-batch has no tensor.
    """
    if not micro_batches:
        raise ArgumentError("expected one micro-batch or more, got none")
    if weights is not None:
        if len(weights) != len(micro_batches):
            raise ArgumentError(
                f"expected a weight for each of {len(micro_batches)} micro-batches, got {len(weights)}"
            )
        return [float(weight) for weight in weights]
    counts = [_samples(batch) for batch in micro_batches]
    return [count / sum(counts) for count in counts]


def _samples(batch: Any) -> int:
    for leaf in pytree.tree_leaves(batch):
        if isinstance(leaf, Tensor) and leaf.dim() and len(leaf):
            return len(leaf)
    raise ArgumentError(
        f"a micro-batch of type {type(batch).__name__} has no tensor whose first axis are its samples; pass "
        "weights=, the share of each micro-batch in the loss"
    )


def random_streams(count: int) -> list[RandomStream]:
    """Return a random stream for each micro-batch; their seeds are drawn from torch's generator."""
    return [RandomStream(seed) for seed in torch.randint(2**31, (count,)).tolist()]


def checked_loss(loss: Loss, model: nn.Module, batch: Any) -> Tensor:
    """Return the loss of a micro-batch.

    Raises:
        ShapeError: the loss is not one number.
    """
    value = loss(model, batch)
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ShapeError(f"expected loss(model, micro_batch) to return a tensor with one number, got {got}")
    return value.reshape(())


def weighted_sum(shares: Sequence[float], losses: Sequence[Tensor]) -> Tensor:
    """Return the loss of the union."""
    return torch.stack([share * loss for share, loss in zip(shares, losses, strict=True)]).sum()
