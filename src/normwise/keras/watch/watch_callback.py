"""Callback that records statistics of BN layers during ``fit``."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from normwise.keras.surgery.calibrate.batches import Data, check_batches
from normwise.keras.watch.batches_in_turn import check_read_again
from normwise.keras.watch.fit_recorder import FitRecorder
from normwise.recordings.begin_recording import check_interval
from normwise.records import Recording


class WatchCallback(keras.callbacks.Callback):
    """Record statistics of a model's BN layers during ``fit``, at regular steps.

    This is :func:`normwise.watch` for Keras, on all backends. A record has the same numbers, see
    :class:`normwise.records.LayerPoint`, without the norms of gradients; moving statistics are called running ones.

    A compiled training step shows no values, so a record does not look into it. Before the step, this callback calls
    the model in training mode on the next batch of ``data``, with the weights and moving statistics of that moment.
    It measures what the BN layers get, in float64, at the real positions of their masks. So the batches are not those
    that the step trains on, but others of the same kind; compiled, eager and XLA steps are recorded alike. Variables
    of the model, random generators (Python's, NumPy's, Keras's, torch's) and layers are as before after each record,
    also if it raises: the training has the same numbers as without this callback.

    If a step calls a layer several times, its first call is recorded. For layers of ours with ``virtual_batch_size``
    or ``renorm``, batch statistics and percentiles are those of the whole batch without correction. A layer whose
    inputs can't be seen, such as one within ``jax.lax.scan`` or ``tf.function``, or with a ``call`` of its own, is
    left out with a warning.

    Args:
        data: Training data, as :func:`normwise.keras.calibrate` takes them, but not a generator, which can be read
            only once. Arrays are shuffled, and cut into batches; batches of other data come in their order. They are
            read as far as records need them, and from the beginning again at their end.
        every: Interval of the records, in steps (batches of ``fit``); the first step is recorded. A record takes a
            forward pass without compilation, and a copy of the model's variables.
        units: Channels whose percentiles are recorded: a number of evenly spaced channels of each layer, or
            channels by the path of the layer.
        to: Destination that new records are also written to. A folder without a recording gets ``recording.json``
            and ``metrics.jsonl``, one line per record, for ``normwise report FOLDER``; a
            ``torch.utils.tensorboard.SummaryWriter`` gets scalars ``bn/<path>/<quantity>``. Of several processes only
            one may have a folder.
        batch_size: Number of samples per batch that is cut from arrays; take that of ``fit``, since the noise of
            batch statistics depends on it.

    Raises:
        ArgumentError: an argument is invalid; in ``fit``, also if the model has no BN layer.
        ModelError: in ``fit``, the model fails on a batch of the data.
        RunError: in ``fit``, the folder has a recording already, or can't be written to.
    """

    def __init__(
        self,
        data: Data,
        *,
        every: int = 200,
        units: int | Mapping[str, Sequence[int]] = 3,
        to: str | os.PathLike[str] | Any = None,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        check_batches(None, batch_size)
        check_interval(every)
        check_read_again(data)
        self._data = data
        self._every = every
        self._settings: dict[str, Any] = {"every": every, "units": units, "to": to, "batch_size": batch_size}
        self._recorder: FitRecorder | None = None
        self._steps = self._begun_at = self._next = 0

    @property
    def recording(self) -> Recording | None:
        """Return the records so far of the last training; None before the first."""
        return None if self._recorder is None else self._recorder.recording

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin a recording; that of a training which failed ends."""
        self._end()
        self._steps = self._begun_at = self._next = 0
        self._recorder = FitRecorder(self.model, self._data, **self._settings)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Count the steps of the epochs before."""
        self._begun_at = self._steps

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Record the model before a step if it is due."""
        step = self._begun_at + batch
        if self._recorder is None or step < self._next:
            return
        # With steps_per_execution this may not be a multiple of the interval.
        self._next = (step // self._every + 1) * self._every
        try:
            self._recorder.record(self.model, step)
        except BaseException:
            self._end()
            raise

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps."""
        of_epoch = (self.params or {}).get("steps")
        self._steps = self._begun_at + min(batch + 1, of_epoch or batch + 1)

    def on_train_end(self, logs: Any = None) -> None:
        """End the recording."""
        self._end()

    def _end(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
