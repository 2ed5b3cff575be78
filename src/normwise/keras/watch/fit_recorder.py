"""Records of one training by ``fit``."""

import warnings
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from normwise.errors import ArgumentError
from normwise.keras.surgery.batch_norms import batch_norms
from normwise.keras.surgery.calibrate.batches import Data
from normwise.keras.surgery.calibrate.one_pass import reason_to_leave
from normwise.keras.surgery.process_state import unchanged
from normwise.keras.watch.batches_in_turn import BatchesInTurn
from normwise.keras.watch.recorded_pass import recorded_pass
from normwise.recordings.begin_recording import begin_recording
from normwise.recordings.chosen_channels import chosen_channels
from normwise.recordings.sinks import sink_for
from normwise.records import Recording, WatchedLayer, WatchedStep


class FitRecorder:
    """Recording of a model's BN layers that grows while the model trains."""

    def __init__(
        self,
        model: Any,
        data: Data,
        *,
        every: int,
        units: int | Mapping[str, Sequence[int]],
        to: Any,
        batch_size: int,
    ) -> None:
        """Begin the recording; see :class:`WatchCallback` for the arguments.

        Raises:
            ArgumentError: the model has no BN layer, or an argument is invalid.
            RunError: the folder has a recording already, or can't be written to.
        """
        layers = batch_norms(model)
        if not layers:
            raise ArgumentError(f"the model {model.name!r} has no batch normalization layer to watch")
        self._batches = BatchesInTurn(data, len(getattr(model, "inputs", None) or (None,)), batch_size)
        watched = tuple(
            WatchedLayer(path, type(layer).__name__, layer.moving_mean.shape[0] if layer.built else 0)
            for path, layer in layers.items()
        )
        self._head = begin_recording(watched, every, "keras")
        self._channels = chosen_channels(watched, units)
        self._points: list[WatchedStep] = []
        # A layer whose call may be anything, or that has no statistics yet, is not recorded.
        self._unseen = {path: reason_to_leave(layer, include_frozen=True) for path, layer in layers.items()}
        self._layers = {path: layer for path, layer in layers.items() if not self._unseen[path]}
        self._warned: set[str] = set()
        self._sink = sink_for(to, self._head)
        if self._sink is not None:
            # fit does not tell its callbacks of an exception, after which the file would stay open.
            weakref.finalize(self, self._sink.close)

    @property
    def recording(self) -> Recording:
        """Return the records so far."""
        return replace(self._head, points=tuple(self._points))

    def record(self, model: Any, step: int) -> None:
        """Measure the next batch of the data in a pass in training mode, and restore the model.

        Raises:
            ModelError: the model fails on the batch.
            ArgumentError: the data have no batches.
            RunError: the folder can't be written to.
        """
        with unchanged(model):
            batch = self._batches.next_batch()
            layers, unseen = recorded_pass(model, self._layers, self._channels, batch)
        self._warn(unseen)
        point = WatchedStep(step, layers)
        self._points.append(point)
        if self._sink is not None:
            self._sink.append(point)

    def close(self) -> None:
        """End the recording; a second call does nothing."""
        self._batches.end()
        if self._sink is not None:
            self._sink.close()

    def _warn(self, unseen: Mapping[str, str]) -> None:
        """Warn once of each layer whose inputs are not seen."""
        for path, reason in (self._unseen | dict(unseen)).items():
            if reason and path not in self._warned:
                self._warned.add(path)
                warnings.warn(f"WatchCallback can't record {path!r}: {reason}", stacklevel=2)
