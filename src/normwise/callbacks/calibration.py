"""Calibration within a training: whether it is due, and what it found."""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from normwise.errors import ArgumentError
from normwise.records import Calibration, Order, VarianceKind
from normwise.statistics import Data, batches_of, calibrate


class TrainingCalibration:
    """Calibrations of a model while it trains, each only where it has trained since the last one.

    Attributes:
        reports: Report of each calibration, in their order.
    """

    def __init__(
        self, data: Data, *, order: Order, variance: VarianceKind, max_batches: int | None, module: str
    ) -> None:
        batches_of(data)  # refuses what holds no batches now, and not after an epoch
        self.reports: list[Calibration] = []
        self._data = data
        self._module = module
        self._settings: dict[str, Any] = {"order": order, "variance": variance, "max_batches": max_batches}
        self._is_due = False

    def trained(self) -> None:
        """Note that the weights have moved."""
        self._is_due = True

    def calibrate(self, model: nn.Module) -> None:
        """Calibrate the model if it has trained since the last time, by the data of all processes.

        Raises:
            ArgumentError: there is no module of that path.
            ModelError, ArgumentError: as :func:`normwise.calibrate` does.
        """
        if not self._is_due:
            return
        group = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None
        try:
            taken = model.get_submodule(self._module)
        except AttributeError:
            names = ", ".join(repr(name) for name, _ in model.named_children())
            raise ArgumentError(
                f"{type(model).__name__} has no module {self._module!r} to calibrate; it has {names}"
            ) from None
        # Lightning validates in inference mode, whose tensors a training can't use.
        with torch.inference_mode(False):
            self.reports.append(calibrate(taken, self._data, group=group, **self._settings))
        self._is_due = False
