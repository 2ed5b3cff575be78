"""Passes over data in which BN layers see their inputs, and get their statistics from them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils import _pytree as pytree

from normwise.errors import ModelError
from normwise.records import VarianceKind
from normwise.statistics.batches import arguments_of
from normwise.statistics.moments import Moments
from normwise.statistics.seen import Seen

#: Called with the batches done in this pass, how many there are if that is known, and what is going on.
Progress = Callable[[int, int | None, str], None]
#: How often all layers are measured anew where a statistic feeds on itself, since its layer is called several times.
_MOST_SWEEPS = 10


class _Enough(BaseException):
    """What was wanted of a forward pass has been seen."""


class Passes:
    """Passes over the same batches, after each of which layers have the statistics of what they saw.

    Attributes:
        before: Running mean and variance of each layer, by path, as they were.
        seen: What each layer saw last, by path.
        number: Passes made so far.
        batches_read: Of the last pass, in all processes.
        residual: By how much another pass might move a statistic, of a mean in standard deviations.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Any],
        layers: Mapping[str, nn.Module],
        variance: VarianceKind,
        *,
        max_batches: int | None,
        group: dist.ProcessGroup | None,
        progress: Progress | None,
    ) -> None:
        self._statistics = {
            path: (layer.get_buffer("running_mean"), layer.get_buffer("running_var"))
            for path, layer in layers.items()
        }
        self.before = {path: (mean.clone(), var.clone()) for path, (mean, var) in self._statistics.items()}
        self.seen = {path: Seen.nothing(len(mean)) for path, (mean, _) in self.before.items()}
        self.number, self.batches_read, self.residual = 0, 0, 0.0
        self._model, self._batches, self._layers = model, batches, layers
        self._variance: VarianceKind = variance
        self._device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
        self._max_batches, self._group, self._progress = max_batches, group, progress
        # Number of each layer in the order of execution, and whether each forward pass calls the layers in that
        # order, each once at most.
        self._order: dict[str, int] = {}
        self._regular = True

    def by_batch(self) -> None:
        """One pass in which each layer normalises with the statistics of the batch that it sees."""
        self._run(set(self._layers), by_batch=True)

    def consistently(self, begin: Callable[[], None]) -> None:
        """After :meth:`by_batch`: a pass for each layer but the first, in the order of execution.

        The inputs of a layer depend on those before it alone, which are final then, and a batch needs to be followed
        only as far as that layer. Where layers are called several times, or in one order here and in another there,
        all are measured again until they no longer move.
        """
        first = next(iter(self._order), None)
        for sweep in range(1 if self._regular else _MOST_SWEEPS):
            moved = 0.0
            for path in list(self._order):
                if path != first or not self._regular:
                    begin()
                    moved = max(moved, self._run({path}, by_batch=False))
            self.residual = moved if sweep or not self._regular else 0.0
            if moved <= self._tolerance:
                break

    def _run(self, measured: set[str], *, by_batch: bool) -> float:
        """Make a pass, and set what was measured; returns by how much the statistics moved."""
        now = {
            path: Seen.nothing(len(mean)) for path, (mean, _) in self._statistics.items() if path in measured
        }
        self.number += 1
        # The other processes wait for this one, also when it fails.
        failure: BaseException | None = None
        try:
            self.batches_read = self._read(now, by_batch)
        except BaseException as error:
            if self._group is None:
                raise
            failure = error
        if self._group is not None:
            now = self._gather(now, failure, self._group)
        moved = max((self._set(path, found) for path, found in now.items()), default=0.0)
        self.seen |= now
        return moved

    def _read(self, now: dict[str, Seen], by_batch: bool) -> int:
        # Nothing behind the one layer that is measured matters, if it is called but once.
        stops = not by_batch and self._regular
        total = len(self._batches) if isinstance(self._batches, Sized) else None
        if self._max_batches is not None:
            total = self._max_batches if total is None else min(total, self._max_batches)
        done, at = 0, -1

        def look(path: str, layer: nn.Module, values: Tensor, mask: Tensor | None) -> None:
            nonlocal at
            place = self._order.setdefault(path, len(self._order))
            self._regular &= place > at
            at = place
            if path not in now:
                return
            found = Moments.of(values, mask)
            if not math.isfinite(found.m2.sum()):
                channel = int((~torch.isfinite(found.m2)).nonzero()[0])
                raise ModelError(
                    f"batch {done} (counted from 0) gives channel {channel} of {type(layer).__name__} {path!r} values "
                    "that are not finite, and its statistics would not be either. Find out where they come from, "
                    "or leave that batch out"
                )
            now[path].add(found)
            if by_batch and found.count:
                use = found if found.count > 1 else now[path].together
                mean, variance = self._statistics[path]
                mean.copy_(use.mean)
                variance.copy_(use.variance)
            if stops:
                raise _Enough

        with _looking(self._layers, look):
            for batch in islice(self._batches, self._max_batches):
                at = -1
                self._call(batch, done)
                done += 1
                if self._progress is not None:
                    passes = f" of {len(self._order)}" if stops else ""
                    self._progress(done, total, f"pass {self.number}{passes}")
        return done

    def _call(self, batch: Any, number: int) -> None:
        args, kwargs = pytree.tree_map_only(Tensor, lambda t: t.to(self._device), arguments_of(batch))
        try:
            self._model(*args, **kwargs)
        except _Enough:
            pass
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"the model fails on batch {number} (counted from 0): {error}") from error

    def _gather(
        self, now: dict[str, Seen], failure: BaseException | None, group: dist.ProcessGroup
    ) -> dict[str, Seen]:
        """What all processes saw, and in what order."""
        own = (
            None if failure is None else f"{type(failure).__name__}: {failure}",
            {path: found.cpu() for path, found in now.items()},
            list(self._order),
            self._regular,
            self.batches_read,
        )
        everybody: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(everybody, own, group=group)
        if failure is not None:
            raise failure
        for rank, (text, *_) in enumerate(everybody):
            if text is not None:
                raise ModelError(f"process {rank} of the group failed: {text}")
        orders = [order for _, _, order, _, _ in everybody]
        merged_order = list(dict.fromkeys(path for order in orders for path in order))
        self._order = {path: place for place, path in enumerate(merged_order)}
        # Two processes that call the layers in other orders have no common one.
        self._regular = all(regular for *_, regular, _ in everybody) and all(
            [path for path in merged_order if path in order] == order for order in orders
        )
        self.batches_read = sum(count for *_, count in everybody)
        merged = everybody[0][1]
        for _, other, *_ in everybody[1:]:
            merged = {path: found.merged(other[path]) for path, found in merged.items()}
        return merged

    def _set(self, path: str, found: Seen) -> float:
        """Give a layer its statistics; returns how far they are from what it got last."""
        layer, last = self._layers[path], self.seen[path]
        if found.lacks(self._variance):
            for buffer, value in zip(self._statistics[path], self.before[path], strict=True):
                buffer.copy_(value)
            return 0.0
        mean, variance = found.together.mean, found.variance(self._variance)
        for buffer, value in zip(self._statistics[path], (mean, variance), strict=True):
            rounded = value.to(buffer)
            if not torch.isfinite(rounded).all():
                raise ModelError(
                    f"{type(layer).__name__} {path!r} keeps its statistics in {buffer.dtype}, which can't hold "
                    f"{value.abs().max():g}; keep BN layers in float32 (layer.float()), also in a model of halves"
                )
            buffer.copy_(rounded)
        if last.lacks(self._variance):
            return math.inf
        spread = (variance + getattr(layer, "eps", 1e-5)).to(mean.device)
        moved = (mean - last.together.mean.to(mean.device)).abs() / spread.sqrt()
        widened = (variance - last.variance(self._variance).to(mean.device)).abs() / spread
        return max(moved.max().item(), widened.max().item())

    @property
    def _tolerance(self) -> float:
        """Changes as small as what the statistics are rounded to are none."""
        return max((2 * torch.finfo(mean.dtype).eps for mean, _ in self._statistics.values()), default=0.0)


@contextmanager
def _looking(
    layers: Mapping[str, nn.Module], look: Callable[[str, nn.Module, Tensor, Tensor | None], None]
) -> Iterator[None]:
    """Call ``look`` with a layer's path, the layer, its input and its mask before each of its calls."""

    def hook_of(path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            look(path, layer, args[0] if args else kwargs["input"], kwargs.get("mask"))

        return hook

    hooks = [
        layer.register_forward_pre_hook(hook_of(path), with_kwargs=True) for path, layer in layers.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
