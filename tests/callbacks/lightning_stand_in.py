"""The part of Lightning that calls callbacks, in the order in which its trainer does, for where it isn't installed."""

from types import ModuleType
from typing import Any

import torch
from torch import nn


class Callback:
    """The base of callbacks, with the methods that tests need."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None: ...

    def on_train_end(self, trainer: Any, pl_module: Any) -> None: ...

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None: ...


class LightningModule(nn.Module):
    """The base of modules that train; as Lightning's, it leaves both methods to the subclass."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        raise NotImplementedError

    def configure_optimizers(self) -> Any:
        raise NotImplementedError


class Trainer:
    """A loop that makes a step on each batch, by a closure within the optimiser's step."""

    def __init__(self, *, callbacks: list[Any], accumulate_grad_batches: int = 1, **options: Any) -> None:
        self.callbacks, self.accumulate = callbacks, accumulate_grad_batches
        self.optimizers: list[Any] = []

    def fit(self, module: LightningModule, batches: Any) -> None:
        made = module.configure_optimizers()
        self.optimizers = made if isinstance(made, list) else [made]
        module.train()
        for callback in self.callbacks:
            callback.on_train_start(self, module)
        try:
            for number, batch in enumerate(batches):
                for callback in self.callbacks:
                    callback.on_train_batch_start(self, module, batch, number)
                self._step(module, batch, number)
        except BaseException as error:
            for callback in self.callbacks:
                callback.on_exception(self, module, error)
            raise
        for callback in self.callbacks:
            callback.on_train_end(self, module)

    def _step(self, module: LightningModule, batch: Any, number: int) -> None:
        def closure() -> torch.Tensor:
            loss = module.training_step(batch, number)
            if number % self.accumulate == 0:
                self.optimizers[0].zero_grad()
            loss.backward()
            return loss

        if (number + 1) % self.accumulate == 0:
            self.optimizers[0].step(closure)
        else:
            closure()


def library() -> Any:
    """Return a module like ``lightning.pytorch``."""
    module: Any = ModuleType("lightning.pytorch")
    module.Callback, module.LightningModule, module.Trainer = Callback, LightningModule, Trainer
    return module
