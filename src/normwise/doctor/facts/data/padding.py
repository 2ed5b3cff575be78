"""Padding in sequences of different lengths, and its effect on the statistics of BN layers."""

import re
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.doctor.facts.data.user_batches import UserBatch
from normwise.doctor.facts.facts import Facts
from normwise.layers import slot_of_mean
from normwise.statistics.moments import Moments
from normwise.statistics.observe.normalised_inputs import Call, observe

#: The time step in the path of a slot.
_STEP = re.compile(r"\[(\d+)\]$")
#: Number of batches that are examined.
_BATCHES = 4
#: Number of samples whose ends are compared.
_COMPARED = 128
#: Least share of positions that are padding.
_LEAST_SHARE = 0.05
#: Largest share of equal positions at the other end: data with such borders at both ends are images.
_OTHER_END = 0.5
#: Least standard deviation of the lengths, as a share of the longest.
_VARIES = 0.1


@dataclass
class PaddedSlot:
    """Moments of a slot's inputs, with and without padding.

    Attributes:
        everything: Moments of all positions, call by call.
        real: Moments of the positions without padding, call by call.
    """

    everything: list[Moments] = field(default_factory=list)
    real: list[Moments] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return the share of values that are padding."""
        return 1 - Moments.merge(self.real).count / Moments.merge(self.everything).count


def padded_slots(facts: Facts) -> dict[str, PaddedSlot]:
    """Return the slots whose statistics include padding, by path; in evaluation, on a few batches."""
    found: dict[str, PaddedSlot] = {}
    batches = [
        (batch, real)
        for batch in facts.batches.batches[:_BATCHES]
        if (real := real_positions(batch)) is not None
    ]
    if not batches:
        return found
    with facts.in_evaluation(), ExitStack() as stack:
        now: list[Tensor] = []
        for path, kind in facts.layers.items():
            if kind.initialised and kind.has_statistics:
                stack.callback(observe(kind.layer, partial(_look, path, found, now), _unseen))
        for batch, real in batches:
            now[:] = [real]
            args, kwargs = facts.task.moved((batch.args, batch.kwargs))
            with suppress(Exception):  # the probe says why a model fails
                facts.model(*args, **kwargs)
    return found


def real_positions(batch: UserBatch) -> Tensor | None:
    """Return ``(N, L)``, True where a sequence of the batch is real; None if the batch has no padding.

    Padding is a constant value at the end of many samples, or at their beginning, of varying length and in all
    features of a position. It rarely occurs at the other end, unlike the dark borders of images.
    """
    for leaf in pytree.tree_leaves((batch.args, batch.kwargs)):
        if not isinstance(leaf, Tensor) or leaf.layout is not torch.strided or leaf.numel() == 0:
            continue
        if leaf.dim() == 2 and not leaf.is_floating_point() and leaf.dtype != torch.bool:
            views = [leaf[..., None]]
        elif leaf.dim() == 3 and leaf.dtype != torch.bool:
            views = [leaf, leaf.transpose(1, 2)]
        else:
            continue
        found = [mask for view in views for mask in _real_from_either_end(view.detach())]
        # If both axes look padded, the axis of time is uncertain.
        if len(found) == 1:
            return found[0].cpu()
    return None


def _real_from_either_end(x: Tensor) -> list[Tensor]:
    """Return the masks of real positions of ``(N, L, F)`` for padding at the end, and for padding at the beginning."""
    at_end, at_start = _real(x), _real(x.flip(1))
    return [mask for mask in (at_end, None if at_start is None else at_start.flip(1)) if mask is not None]


def _real(x: Tensor) -> Tensor | None:
    """Return the real positions of ``(N, L, F)``; None if nothing looks like padding."""
    length = x.shape[1]
    last = x[:_COMPARED, -1]
    # The last value of most samples.
    same_ends = (last[:, None] == last[None]).all(-1).sum(1)
    value = last[int(same_ends.argmax())]
    if int(same_ends.max()) < max(2, len(last) // 8) or not bool((value == value[0]).all()):
        return None
    constant = (x == value).all(-1)
    at_end = constant.flip(1).cumprod(1).sum(1)
    at_start = constant.cumprod(1).sum(1)
    some = at_end < length
    share = at_end.double().mean().item() / length
    varies = at_end.double().std(correction=0).item() / length
    if share < _LEAST_SHARE or varies < _VARIES or int(at_end.min()) > length // 4:
        return None
    if not bool(some.any()) or at_start[some].sum() > _OTHER_END * at_end[some].sum():
        return None
    return torch.arange(length, device=x.device) < (length - at_end)[:, None]


def _look(path: str, found: dict[str, PaddedSlot], now: list[Tensor], layer: nn.Module, call: Call) -> bool:
    slot = slot_of_mean(path, layer, call.running_mean)
    if slot is None:
        return False
    mask = None if call.mask is not None else _mask_of(call.values, now[0], slot)
    if mask is not None and bool(mask.any()):
        values = call.values.detach()
        held = found.setdefault(slot, PaddedSlot())
        held.everything.append(Moments.of(values))
        held.real.append(Moments.of(values, mask.to(values.device)))
    return True


def _unseen(layer: nn.Module, forward: object, args: object, kwargs: object, output: object) -> object:
    return output


def _mask_of(values: Tensor, real: Tensor, slot: str) -> Tensor | None:
    """Return the mask of values ``(N, C, L)``, at the input's rate or another, of ``(N·L, C)``, or of one step."""
    samples, length = real.shape
    if values.dim() == 3 and len(values) == samples and 4 <= values.shape[2] <= length + 8:
        there = values.shape[2]
        return real[:, (torch.arange(there) * length // there).clamp_max(length - 1)]
    if values.dim() == 2 and len(values) == samples * length:
        return real.flatten()
    step = _STEP.search(slot)
    if values.dim() == 2 and len(values) == samples and step is not None and int(step[1]) < length:
        return real[:, int(step[1])]
    return None
