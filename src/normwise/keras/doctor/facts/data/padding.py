"""Padding in sequences of different lengths, and its effect on the statistics of BN layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normwise.keras.doctor.facts.data.user_batches import UserBatch, leaves
from normwise.keras.doctor.facts.model.norm_facts import NormFacts
from normwise.keras.doctor.facts.passes.moments import Moments
from normwise.keras.doctor.facts.passes.observe import NormCall, Statistics, observed
from normwise.keras.doctor.facts.passes.task import Task
from normwise.keras.surgery.process_state import unchanged

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
class PaddedLayer:
    """Moments of a layer's inputs, with and without padding, call by call."""

    everything: list[Moments] = field(default_factory=list)
    real: list[Moments] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return the share of values that are padding."""
        return 1 - Moments.merge(self.real).count / Moments.merge(self.everything).count


def padded_layers(
    task: Task, norms: Mapping[str, NormFacts], batches: tuple[UserBatch, ...]
) -> dict[str, PaddedLayer]:
    """Return the layers whose statistics include padding, by path; in evaluation, on a few batches."""
    found: dict[str, PaddedLayer] = {}
    padded = [
        (batch, real) for batch in batches[:_BATCHES] if (real := real_positions(batch.inputs)) is not None
    ]
    now: list[NDArray[np.bool_]] = []

    def visit(call: NormCall) -> Statistics:
        mask = None if call.real is not None else _mask_of(call, now[0])
        if mask is not None and mask.any():
            held = found.setdefault(call.path, PaddedLayer())
            held.everything.append(Moments.of(call.values))
            held.real.append(Moments.of(call.values, mask))
        return None

    if padded:
        with unchanged(task.model), observed(norms, visit, {}):
            for batch, real in padded:
                now[:] = [real]
                try:
                    task.outputs(batch, training=False)
                except Exception:  # from the user's code; the probe says why a model fails
                    break
    return found


def real_positions(inputs: Any) -> NDArray[np.bool_] | None:
    """Return ``(N, L)``, True where a sequence of the batch is real; None if the batch has no padding.

    Padding is a constant value at the end of many samples, or at their beginning, of varying length and in all
    features of a position. It rarely occurs at the other end, unlike the dark borders of images.
    """
    for leaf in leaves(inputs):
        if not leaf.size or leaf.dtype == np.bool_ or not np.issubdtype(leaf.dtype, np.number):
            continue
        if leaf.ndim == 2 and np.issubdtype(leaf.dtype, np.integer):
            views = [leaf[..., None]]
        elif leaf.ndim == 3:
            views = [leaf, leaf.transpose(0, 2, 1)]
        else:
            continue
        found = [mask for view in views for mask in _real_from_either_end(view)]
        # If both axes look padded, the axis of time is uncertain.
        if len(found) == 1:
            return found[0]
    return None


def _real_from_either_end(x: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """Return the masks of real positions of ``(N, L, F)`` for padding at the end, and for padding at the beginning."""
    at_end, at_start = _real(x), _real(x[:, ::-1])
    return [mask for mask in (at_end, None if at_start is None else at_start[:, ::-1]) if mask is not None]


def _real(x: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return the real positions of ``(N, L, F)``; None if nothing looks like padding."""
    length = x.shape[1]
    last = x[:_COMPARED, -1]
    # The last value of most samples.
    same_ends = (last[:, None] == last[None]).all(-1).sum(1)
    value = last[int(same_ends.argmax())]
    if int(same_ends.max()) < max(2, len(last) // 8) or not (value == value[0]).all():
        return None
    constant = (x == value).all(-1)
    at_end = np.cumprod(constant[:, ::-1], 1).sum(1)
    at_start = np.cumprod(constant, 1).sum(1)
    some = at_end < length
    share, varies = at_end.mean() / length, at_end.std() / length
    if share < _LEAST_SHARE or varies < _VARIES or int(at_end.min()) > length // 4:
        return None
    if not some.any() or at_start[some].sum() > _OTHER_END * at_end[some].sum():
        return None
    return np.arange(length) < (length - at_end)[:, None]


def _mask_of(call: NormCall, real: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return the mask of values ``(N, C, L)``, at the input's rate or another; None for other shapes."""
    samples, length = real.shape
    if len(call.shape) != 3 or len(call.values) != samples or not 4 <= call.values.shape[2] <= length + 8:
        return None
    there = call.values.shape[2]
    return real[:, (np.arange(there) * length // there).clip(max=length - 1)]
