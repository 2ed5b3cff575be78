"""Layers that normalise without calling ``batch_norm``: find out what they normalise from their outputs."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.layers import StatisticsSlot

#: How a forward pass uses the running statistics: it normalises its input along axis 1, ignores them, or is
#: unknown.
Use = Literal["input", "nothing", "unknown"]


def use_of_statistics(
    slot: StatisticsSlot, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Use, Tensor | None]:
    r"""Find out what a forward pass normalises, and return its input if that is it.

    If the output is a function of :math:`(x_c - \mu_c)` in each channel c, adding the same number to both changes
    nothing. A different number for each channel identifies the channel axis, whatever scaling, shift and activation
    follow. An output that does not change with the running statistics alone does not depend on them. The forward
    pass is run three times; the statistics are restored.
    """
    tensors = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    before = slot.values()
    # One of several tensors may be a mask of the positions that count.
    if len(tensors) != 1 or not _is_batch(tensors[0], len(before[0])):
        return "unknown", None
    x = tensors[0].detach()
    axes = [axis for axis in range(x.dim()) if axis != 1]
    mean, spread = x.double().mean(axes), x.double().std(axes, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    by = spread * torch.linspace(0.5, 1.5, len(spread), dtype=torch.float64, device=x.device)
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]

    def answer(moved: Tensor, mean: Tensor, spread: Tensor) -> Tensor | None:
        slot.put(mean, spread.square())
        # A copy, as a forward may change its input in slot.
        changed = pytree.tree_map_only(Tensor, lambda _: moved.clone(), (args, kwargs))
        output = forward(*changed[0], **changed[1])
        return output.detach().double() if isinstance(output, Tensor) else None

    try:
        plain = answer(x, mean, spread)
        alone = answer(x, mean + by, 2 * spread)
        both = answer(x + by.view(shape).to(x), mean + by, spread)
    except Exception:  # the user's forward may raise anything: then it is unknown
        return "unknown", None
    finally:
        slot.put(*before)
    if plain is None or alone is None or both is None or not plain.isfinite().all():
        return "unknown", None
    if torch.equal(plain, alone):
        # A constant, such as a ReLU's output for negative values, says nothing.
        return ("nothing" if plain.numel() == 0 or plain.min() < plain.max() else "unknown"), None
    return ("input", x) if _are_close(plain, both, x, spread) else ("unknown", None)


def _is_batch(x: Tensor, channels: int) -> bool:
    return x.is_floating_point() and x.dim() > 1 and x.shape[1] == channels and x.numel() > 0


def _are_close(one: Tensor, other: Tensor, x: Tensor, spread: Tensor) -> bool:
    if one.shape != other.shape or not other.isfinite().all():
        return False
    # Bound on the rounding of the sum of both, in units of the spread of the normalised values.
    rounding = torch.finfo(x.dtype).eps * (x.abs().amax() / spread.amin() + 10).item()
    return bool((one - other).abs().amax() <= 20 * min(rounding, 0.005) * one.abs().amax().clamp_min(1e-30))


def reason_unknown(layer: nn.Module) -> str:
    """Return why the statistics of such a layer are left unchanged."""
    return (
        f"what {type(layer).__name__}.forward normalises can't be seen: it calls no batch_norm with its running "
        "statistics, and the channels of what it normalises by hand are not on axis 1 of its one input"
    )
