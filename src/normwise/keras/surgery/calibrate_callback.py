"""Callback that calibrates the moving statistics before each validation."""

from typing import Any

import keras

from normwise.keras.surgery.calibrate.batches import Data
from normwise.keras.surgery.calibrate.calibrate import calibrate
from normwise.records import Calibration, Order, VarianceKind


class CalibrateCallback(keras.callbacks.Callback):
    """Calibrate the model's moving statistics before each validation of ``fit``.

    Validation measures the current weights, but the moving statistics are averages over the weights of many earlier
    steps. This callback replaces them, in place, by the statistics of data for the current weights, by
    :func:`normwise.keras.calibrate`. So ``val_loss``, and everything that ``ModelCheckpoint``, ``EarlyStopping``
    and ``BackupAndRestore`` use afterwards, are those of the calibrated model. It runs when validation begins
    (``on_test_begin``), before ``on_epoch_end`` of all callbacks. So their order does not matter, except that
    ``SwapEMAWeights`` must come before this one. If the last epoch had no validation, it also runs at the end of
    the training.

    Training continues from the calibrated statistics, which its moving averages update. This does not affect
    training itself, which normalises by the batch, except for renorm layers, which compare batches with them.

    Args:
        data, order, variance, max_batches, batch_size: Arguments of :func:`normwise.keras.calibrate`. Use training
            data, not validation data; a few thousand values per channel are enough. By default one pass is made
            (``order="training"``), a cheap estimate in each epoch; ``"evaluation"`` makes one for each layer.

    Attributes:
        reports: Reports of all calibrations, in order.
    """

    def __init__(
        self,
        data: Data,
        *,
        order: Order = "training",
        variance: VarianceKind = "population",
        max_batches: int | None = None,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        self.reports: list[Calibration] = []
        self._data = data
        self._settings: dict[str, Any] = {
            "order": order,
            "variance": variance,
            "max_batches": max_batches,
            "batch_size": batch_size,
        }
        self._stale = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Prepare for a training."""
        self._stale = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record that the weights have changed."""
        self._stale = True

    def on_test_begin(self, logs: Any = None) -> None:
        """Calibrate before a validation, or an evaluation that has this callback."""
        self._calibrate()

    def on_train_end(self, logs: Any = None) -> None:
        """Calibrate the trained model, unless it was calibrated since the last step."""
        if self._stale:
            self._calibrate()

    def _calibrate(self) -> None:
        self.reports.append(calibrate(self.model, self._data, **self._settings))
        self._stale = False
