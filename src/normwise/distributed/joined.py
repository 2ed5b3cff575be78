"""Uneven inputs: ranks without further batches keep the others' synchronised layers from waiting for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.algorithms.join import Join, Joinable, JoinHook
from torch.nn.parallel import DistributedDataParallel

from normwise.distributed.exchange import Exchange
from normwise.errors import ArgumentError


@contextmanager
def joined(model: DistributedDataParallel, **options: Any) -> Iterator[None]:
    """Train with as many batches as each rank has: ``model.join()`` for models with synchronised layers.

    A rank whose batches are used up takes part in the collectives of the others as a rank with no samples does: their
    statistics are those of the samples that there are.

    Args:
        model: The model in ``DistributedDataParallel``; each rank enters the context.
        options: Those of ``torch.distributed.algorithms.join.Join``, such as ``divide_by_initial_world_size``.

    Raises:
        ArgumentError: it is no ``DistributedDataParallel``.
        DistributedError: a process ended, or the ranks are not at the same layer.
    """
    if not isinstance(model, DistributedDataParallel):
        raise ArgumentError(
            f"expected a model in DistributedDataParallel, got {type(model).__name__}; without it, give each rank as "
            "many batches"
        )
    company = _Company(model)
    with Join([model, company], **options):
        yield
    if company.failure is not None:
        raise company.failure


class _Company(Joinable):
    """Takes part in the collectives of synchronised layers for a rank that has no more batches.

    Others go on with forward and backward passes in whatever order, so each direction has a thread. When all ranks have
    come to the end, a message from none of them ends the threads.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        super().__init__()
        self._model = model
        self._device = next(model.parameters()).device
        self.failure: Exception | None = None
        # By all ranks now: one that has no batch at all would else not come.
        layers = [module for module in model.modules() if hasattr(type(module), "rank_union")]
        unions = [getattr(type(layer), "rank_union")(layer, self._device) for layer in layers]  # noqa: B009
        self.exchanges: list[Exchange] = list(dict.fromkeys(union.exchange for union in unions if union))

    def join_hook(self, **_: Any) -> JoinHook:
        """Return the hook of a rank that has no more batches."""
        return _Hook(self)

    @property
    def join_device(self) -> torch.device:
        """The model's device."""
        return self._device

    @property
    def join_process_group(self) -> Any:
        """The model's process group."""
        return self._model.process_group


class _Hook(JoinHook):
    def __init__(self, company: _Company) -> None:
        self._company = company
        self._threads: list[threading.Thread] = []

    def main_hook(self) -> None:
        """Begin to keep company."""
        if not self._threads:
            self._begin()

    def post_hook(self, is_last_joiner: bool) -> None:
        """Wait for the end: all ranks are here."""
        self.main_hook()
        for thread in self._threads:
            thread.join()

    def _begin(self) -> None:
        for exchange in self._company.exchanges:
            for backward in (False, True):
                thread = threading.Thread(target=self._serve, args=(exchange, backward), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _serve(self, exchange: Exchange, backward: bool) -> None:
        nothing = torch.zeros(0, dtype=torch.float64, device=self._company.join_device)
        meet = exchange.sum if backward else exchange.gather
        try:
            while meet(nothing, None).numel():
                # Nobody sends values any more once all ranks are here.
                continue
        except Exception as error:
            self._company.failure = error
