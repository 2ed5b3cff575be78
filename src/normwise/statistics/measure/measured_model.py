"""A model under measurement: its slots, and the statistics that they normalise by."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from normwise.layers import slots_of
from normwise.statistics.measure.measurement import Measurement
from normwise.statistics.measure.one_pass import OnePass, RunBatch, Visit
from normwise.statistics.measure.repeated_batches import RepeatedBatches
from normwise.statistics.measure.run_batch import run_batch
from normwise.statistics.model_inputs import unwrapped
from normwise.statistics.preserve.preserve_model import unchanged_in_evaluation


@contextmanager
def measuring(
    model: nn.Module, layers: Mapping[str, nn.Module], batches: Iterable[Any], max_batches: int | None
) -> Iterator["MeasuredModel"]:
    """Prepare a model for passes over batches that measure its layers, in evaluation mode.

    Within the context, buffers of the layers may hold other statistics. Afterwards, also after an exception, the
    model and the random states are restored.
    """
    with unchanged_in_evaluation(model, data=batches) as begin:
        yield MeasuredModel(model, layers, RepeatedBatches(batches, max_batches), begin)


class MeasuredModel:
    """A model in evaluation mode whose layers are measured.

    Attributes:
        slots: Slots by path, in the order of the model.
        statistics: Running mean and variance that each slot normalises by, by path; initially its own.
        batches: Batches of each pass.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        batches: RepeatedBatches,
        begin: Callable[[], None],
    ) -> None:
        self.slots = {slot.path: slot for at in layers.items() for slot in slots_of(*at)}
        self.statistics = {path: slot.values() for path, slot in self.slots.items()}
        self.batches = batches
        # Wrappers for several devices or processes would copy or synchronise buffers in each pass.
        spread = isinstance(model, (DataParallel, DistributedDataParallel))
        self._model = unwrapped(model) if spread else model
        self._layers = layers
        self._begin = begin

    def normalise_by(self, path: str, mean: Tensor, variance: Tensor) -> None:
        """Let a slot normalise by a mean and a variance from now on."""
        self.statistics[path] = mean, variance
        self.slots[path].put(mean, variance)

    def measure(
        self,
        slots: Collection[str],
        *,
        by_batch: Collection[str] = (),
        ends_early: bool = False,
        visit: Visit | None = None,
        run: RunBatch = run_batch,
        after_batch: Callable[[int], None] = lambda done: None,
        follows_all: bool = True,
    ) -> Measurement:
        """Make a pass, and measure the inputs of some slots.

        Args:
            slots: Paths of the slots to measure.
            by_batch: Paths of measured slots that normalise by each batch; their buffers are written to.
            ends_early: Whether a forward pass stops at the measured slot, which it calls at most once.
            visit, run: Functions, see :class:`OnePass`.
            after_batch: Function that is called after each batch with the number of batches so far.
            follows_all: Whether all layers are followed, see :class:`OnePass`.
        """
        self._begin()
        one_pass = OnePass(
            self._layers, self.slots, self.statistics, slots, by_batch, ends_early, visit, run, follows_all
        )
        return one_pass.run(self._model, self.batches, after_batch)
