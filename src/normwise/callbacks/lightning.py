"""Callbacks for PyTorch Lightning that check, watch and calibrate BN layers during training."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from normwise.callbacks.calibration import TrainingCalibration
from normwise.doctor.training.check_every import begin_check
from normwise.errors import MissingPackageError
from normwise.records import Calibration, Order, VarianceKind
from normwise.statistics import Data
from normwise.statistics.watch.watch import begin_watch

if TYPE_CHECKING:
    from normwise.doctor.training.training_check import TrainingCheck
    from normwise.statistics.watch.recorder import Recorder

#: Both names of Lightning's package, each with its own classes.
_LIBRARIES = ("lightning.pytorch", "pytorch_lightning")


def _callback_class() -> Any:
    """Return the callback class of the package that is imported, else of the one that is installed.

    Raises:
        MissingPackageError: neither is installed.
    """
    loaded = [name for name in _LIBRARIES if name in sys.modules]
    for name in (*loaded, *_LIBRARIES):
        try:
            return import_module(name).Callback
        except ModuleNotFoundError as error:
            if (error.name or "") not in (name, name.partition(".")[0]):
                raise
    raise MissingPackageError(
        "normwise.callbacks.lightning needs PyTorch Lightning, which is not installed: pip install lightning",
        name="lightning",
    )


Callback: Any = _callback_class()


class BatchNormCheck(Callback):
    """Check of :func:`normwise.doctor.check_every`, as a callback.

    Steps are those of the optimiser if the module has one, and batches if it has several, as GANs do.

    Args:
        every: Interval of the checks, in steps.

    Attributes:
        check: Check of the last training, with its ``problems``; None before the first.

    ::

        from normwise.callbacks.lightning import BatchNormCheck

        trainer = lightning.Trainer(callbacks=[BatchNormCheck(every=100)])
    """

    def __init__(self, every: int = 100) -> None:
        super().__init__()
        self.every = every
        self.check: TrainingCheck | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the check, since the optimisers exist now."""
        optimizers = [
            optimizer
            for optimizer in trainer.optimizers
            if callable(getattr(optimizer, "register_step_post_hook", None))
        ]
        optimizer = optimizers[0] if len(trainer.optimizers) == len(optimizers) == 1 else None
        self.check = begin_check(self.every, pl_module, optimizer)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Report the batch to the check, since Lightning does not call the module itself."""
        if self.check is not None:
            self.check.begin_pass(batch)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the check."""
        if self.check is not None:
            self.check.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End the check, without the unfinished step."""
        if self.check is not None:
            self.check.abandon()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickles and for processes that a trainer starts, without hooks."""
        return vars(self) | {"check": None}


class BatchNormWatch(Callback):
    """The recording of :func:`normwise.watch`, as a callback.

    A step is a call of ``training_step``, on one batch. Of several processes the first one records.

    Args:
        every, units, to: See :func:`normwise.watch`.

    Attributes:
        recording: The recording of the last training; None before the first.

    ::

        from normwise.callbacks.lightning import BatchNormWatch

        trainer = lightning.Trainer(callbacks=[BatchNormWatch(every=100, to="watched")])
    """

    def __init__(
        self,
        every: int | None = None,
        *,
        units: int | Mapping[str, Sequence[int]] = 3,
        to: str | os.PathLike[str] | Any = None,
    ) -> None:
        super().__init__()
        self.recording: Recorder | None = None
        self._settings: dict[str, Any] = {"every": every, "units": units, "to": to}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin the recording."""
        self.recording = begin_watch(pl_module, **self._settings) if trainer.is_global_zero else None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Report the pass to the recording, since Lightning does not call the module itself."""
        if self.recording is not None:
            self.recording.before_pass()

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """End the pass: layers that activation checkpointing calls again were recorded."""
        if self.recording is not None:
            self.recording.after_pass()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the pass of a step without a backward pass."""
        if self.recording is not None:
            self.recording.after_pass()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the recording."""
        if self.recording is not None:
            self.recording.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End the recording; its records stay."""
        if self.recording is not None:
            self.recording.abandon()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickles and for processes that a trainer starts, without hooks."""
        return vars(self) | {"recording": None}


class BatchNormCalibration(Callback):
    """Exact running statistics before each validation, by :func:`normwise.calibrate`, as a callback.

    Validation then measures the weights of the moment with statistics of the same weights, and so do checkpoints that
    are saved after it. An epoch without a validation ends with a calibration, too. Training normalises by the batch,
    and is not changed; its running averages go on from the calibrated statistics. In several processes the data of all
    are merged.

    Args:
        data: Batches for the module's ``forward``, as :func:`normwise.calibrate` takes them: data of the training, not
            of the validation. Pass a loader of its own, and not the trainer's, which is being read; a few thousand
            values a channel will do.
        order, variance, max_batches: See :func:`normwise.calibrate`. By default one pass is made
            (``order="training"``).
        module: Path of the module that takes the batches, such as ``"net"``, where the Lightning module has no
            ``forward``.

    Attributes:
        reports: Report of each calibration, in their order.

    ::

        from normwise.callbacks.lightning import BatchNormCalibration

        trainer = lightning.Trainer(callbacks=[BatchNormCalibration(loader, max_batches=50)])
    """

    def __init__(
        self,
        data: Data,
        *,
        order: Order = "training",
        variance: VarianceKind = "population",
        max_batches: int | None = None,
        module: str = "",
    ) -> None:
        super().__init__()
        self._calibration = TrainingCalibration(
            data, order=order, variance=variance, max_batches=max_batches, module=module
        )

    @property
    def reports(self) -> list[Calibration]:
        """Report of each calibration, in their order."""
        return self._calibration.reports

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note that the weights have moved."""
        self._calibration.trained()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Calibrate before a validation of weights that have trained."""
        self._calibration.calibrate(pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Calibrate after an epoch without validation, before its checkpoint is saved."""
        self._calibration.calibrate(pl_module)
