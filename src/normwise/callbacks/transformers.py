"""Callbacks for Hugging Face's Trainer that check, watch and calibrate BN layers during training."""

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from normwise.callbacks.calibration import TrainingCalibration
from normwise.doctor.training.check_every import check_every
from normwise.errors import MissingPackageError
from normwise.records import Calibration, Order, VarianceKind
from normwise.statistics import Data, watch

if TYPE_CHECKING:
    from normwise.doctor.training.training_check import TrainingCheck
    from normwise.statistics.watch.recorder import Recorder


def _callback_class() -> Any:
    """Return the library's class of callbacks.

    Raises:
        MissingPackageError: the library is not installed.
    """
    try:
        return import_module("transformers.trainer_callback").TrainerCallback
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "transformers":
            raise
    raise MissingPackageError(
        "normwise.callbacks.transformers needs Hugging Face's Trainer, which is not installed: "
        "pip install transformers accelerate",
        name="transformers",
    )


TrainerCallback: Any = _callback_class()


class BatchNormCheck(TrainerCallback):
    """The check of :func:`normwise.doctor.check_every`, as a callback.

    Args:
        every: Interval of the checks, in steps of the optimiser.

    Attributes:
        check: The check of the last training, with its ``problems``; None before the first.

    ::

        from normwise.callbacks.transformers import BatchNormCheck

        trainer = transformers.Trainer(model, args, train_dataset=data, callbacks=[BatchNormCheck(every=100)])
    """

    def __init__(self, every: int = 100) -> None:
        self.every = every
        self.check: TrainingCheck | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Begin the check; one that a failed training left is ended."""
        if self.check is not None:
            self.check.abandon()
        # The optimiser of Accelerate wraps torch's.
        optimizer = getattr(objects["optimizer"], "optimizer", objects["optimizer"])
        hooked = callable(getattr(optimizer, "register_step_post_hook", None))
        self.check = check_every(self.every, objects["model"], optimizer if hooked else None)

    def on_train_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """End the check."""
        if self.check is not None:
            self.check.close()


class BatchNormWatch(TrainerCallback):
    """The recording of :func:`normwise.watch`, as a callback.

    A step is a pass of the model, of which gradient accumulation makes several for a step of the optimiser. Of several
    processes the first one records.

    Args:
        every, units, to: See :func:`normwise.watch`.

    Attributes:
        recording: The recording of the last training; None before the first.

    ::

        from normwise.callbacks.transformers import BatchNormWatch

        trainer = transformers.Trainer(model, args, train_dataset=data, callbacks=[BatchNormWatch(to="watched")])
    """

    def __init__(
        self,
        every: int | None = None,
        *,
        units: int | Mapping[str, Sequence[int]] = 3,
        to: str | os.PathLike[str] | Any = None,
    ) -> None:
        self.recording: Recorder | None = None
        self._settings: dict[str, Any] = {"every": every, "units": units, "to": to}

    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Begin the recording; one that a failed training left is ended."""
        if self.recording is not None:
            self.recording.abandon()
        self.recording = watch(objects["model"], **self._settings) if state.is_world_process_zero else None

    def on_train_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """End the recording."""
        if self.recording is not None:
            self.recording.close()


class BatchNormCalibration(TrainerCallback):
    """Exact statistics before each evaluation and each checkpoint, by :func:`normwise.calibrate`, as a callback.

    Evaluation then measures the weights of the moment with statistics of the same weights. The trained model has them,
    too. Training normalises by the batch, and is not changed; its running averages go on from the calibrated
    statistics. In several processes the data of all are merged.

    Args:
        data: Batches for the model, as :func:`normwise.calibrate` takes them: data of the training, not of the
            evaluation; ``labels`` may be among the keys. A few thousand values a channel will do.
        order, variance, max_batches: See :func:`normwise.calibrate`. By default one pass is made
            (``order="training"``).
        module: Path of the module that takes the batches, where it is not the model itself.

    Attributes:
        reports: Report of each calibration, in their order.

    ::

        from normwise.callbacks.transformers import BatchNormCalibration

        calibration = BatchNormCalibration(loader, max_batches=50)
        trainer = transformers.Trainer(model, args, train_dataset=data, callbacks=[calibration])
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
        self._calibration = TrainingCalibration(
            data, order=order, variance=variance, max_batches=max_batches, module=module
        )

    @property
    def reports(self) -> list[Calibration]:
        """Report of each calibration, in their order."""
        return self._calibration.reports

    def on_step_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Calibrate where an evaluation or a checkpoint follows: the trainer's own callback has decided that before."""
        self._calibration.trained()
        self._before_evaluation(control, objects["model"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Calibrate where an evaluation or a checkpoint follows the epoch."""
        self._before_evaluation(control, objects["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Calibrate the trained model."""
        self._calibration.calibrate(objects["model"])

    def _before_evaluation(self, control: Any, model: Any) -> None:
        if control.should_evaluate or control.should_save:
            self._calibration.calibrate(model)
