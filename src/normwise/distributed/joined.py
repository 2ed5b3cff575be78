"""Uneven inputs: ranks without further batches still take part in the collectives of synchronised layers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

from normwise.distributed.exchange import Exchange
from normwise.errors import ArgumentError, DistributedError


@contextmanager
def joined(model: DistributedDataParallel, **options: Any) -> Iterator[None]:
    """Train with different numbers of batches per rank: ``model.join()`` for models with synchronised layers.

    A rank that has used up its batches takes part in the collectives of the others as a rank without samples: their
    statistics are those of the remaining samples.

    It works for models on a CPU. With ``throw_on_early_termination=True`` all ranks stop instead.

    Args:
        model: Model in ``DistributedDataParallel``; each rank enters the context.
        options: Options of ``torch.distributed.algorithms.join.Join``, such as ``divide_by_initial_world_size``.

    Raises:
        ArgumentError: the model is not a ``DistributedDataParallel``, or is on a GPU.
        DistributedError: a process ended, or the ranks are not at the same layer.
    """
    if not isinstance(model, DistributedDataParallel):
        raise ArgumentError(
            f"expected a model in DistributedDataParallel, got {type(model).__name__}; without it, give each rank as "
            "many batches"
        )
    company = _Company(model)
    try:
        with Join([model], **options):
            yield
            # Before the hooks of Join, since DistributedDataParallel's hook waits for the others' backward
            # pass.
            if not options.get("throw_on_early_termination", False):
                company.begin()
    except RuntimeError as error:
        if company.failure is None or isinstance(error, DistributedError):
            raise
        raise company.failure from error
    company.end()


class _Company:
    """Participant in the collectives of synchronised layers for a rank without further batches.

    The others continue with forward and backward passes in any order, so each direction has a thread. When all
    ranks have reached the end, a message that no rank has values for ends the threads.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        self.failure: Exception | None = None
        self._device = next(model.parameters()).device
        # By all ranks now, since a rank without any batch would not connect later.
        layers = [module for module in model.modules() if hasattr(type(module), "rank_union")]
        unions = [getattr(type(layer), "rank_union")(layer, self._device) for layer in layers]  # noqa: B009
        exchanges: list[Exchange] = list(dict.fromkeys(union.exchange for union in unions if union))
        if not all(exchange.apart for exchange in exchanges):
            raise ArgumentError(
                "joined works for models on a CPU, where synchronised layers have connections of their own; on a GPU "
                "give each rank as many batches (DataLoader(drop_last=True) with a DistributedSampler)"
            )
        self._began = False
        self._threads = [
            threading.Thread(target=self._serve, args=(exchange, backward), daemon=True)
            for exchange in exchanges
            for backward in (False, True)
        ]

    def begin(self) -> None:
        """Start taking part for the other ranks."""
        for thread in self._threads:
            thread.start()
            self._began = True

    def end(self) -> None:
        """Wait until all ranks have reached the end.

        Raises:
            DistributedError: the ranks were not at the same layer.
        """
        for thread in self._threads if self._began else ():
            thread.join()
        if self.failure is not None:
            raise self.failure

    def _serve(self, exchange: Exchange, backward: bool) -> None:
        nothing = torch.zeros(0, dtype=torch.float64, device=self._device)
        meet = exchange.sum if backward else exchange.gather
        try:
            while meet(nothing, None).numel():
                # No rank sends values any more once all ranks are here.
                continue
        except Exception as error:
            self.failure = error
