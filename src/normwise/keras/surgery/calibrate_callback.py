"""Calibration of the moving statistics before each validation of a training."""

from typing import Any

import keras

from normwise.keras.surgery.calibrate.batches import Data
from normwise.keras.surgery.calibrate.calibrate import calibrate
from normwise.records import Calibration, Order, VarianceKind


class CalibrateCallback(keras.callbacks.Callback):
    """Calibrate the model's moving statistics before each validation of ``fit``.

    Validation measures the weights of the moment, and the moving statistics are averages over the weights of many steps
    before. Here they are replaced, in place, by those of data for these weights, as :func:`normwise.keras.calibrate`
    does: ``val_loss``, and what ``ModelCheckpoint``, ``EarlyStopping`` and ``BackupAndRestore`` keep afterwards, are
    those of the calibrated model. It happens when validation begins (``on_test_begin``), which is before
    ``on_epoch_end`` of all callbacks, so that their order does not matter but for ``SwapEMAWeights``, which must come
    before this one. Where the last epoch had no validation, it happens at the end of the training, too.

    Training goes on from the calibrated statistics: its moving averages move them. That changes nothing in training
    itself, where batches normalise, but for renorm layers, which compare the batches with them.

    Args:
        data, order, variance, max_batches, batch_size: See :func:`normwise.keras.calibrate`. Data of the training,
            not of the validation; a few thousand values a channel will do. By default one pass is made
            (``order="training"``), as for a cheap estimate in each epoch; ``"evaluation"`` makes one for each layer.

    Attributes:
        reports: What each calibration found, in their order.
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
        """Begin a training."""
        self._stale = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Take note that the weights have moved."""
        self._stale = True

    def on_test_begin(self, logs: Any = None) -> None:
        """Calibrate before a validation, or an evaluation that has this callback."""
        self._calibrate()

    def on_train_end(self, logs: Any = None) -> None:
        """Calibrate the trained model, unless that was done since the last step."""
        if self._stale:
            self._calibrate()

    def _calibrate(self) -> None:
        self.reports.append(calibrate(self.model, self._data, **self._settings))
        self._stale = False
