"""Callback for PyTorch Lightning that checks BN layers during training."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from normwise.doctor.training.check_every import begin_check
from normwise.errors import MissingPackageError

if TYPE_CHECKING:
    from normwise.doctor.training.training_check import TrainingCheck

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
        "normwise.doctor.lightning needs PyTorch Lightning, which is not installed: pip install lightning",
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

        from normwise.doctor.lightning import BatchNormCheck

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
