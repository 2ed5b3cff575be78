"""Watching and calibrating in Lightning's own trainer, where it is installed."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from normwise.errors import ArgumentError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytl: Any = pytest.importorskip("lightning.pytorch")

from normwise.callbacks.lightning import BatchNormCalibration, BatchNormWatch

X = 5 + 2 * torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(64) % 3


class _Module(pytl.LightningModule):
    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net: Any = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        self.means: list[Tensor] = []
        self.fails = fails

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.fails and batch_idx == 2:
            raise ValueError("broken batch")
        return F.cross_entropy(self.net(batch[0]), batch[1])  # not by the module itself

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.means.append(self.net[1].running_mean.clone())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.05)


def _fit(module: Any, callback: Any, *, validates: bool = True, **options: Any) -> None:
    train, test = (DataLoader(TensorDataset(X, Y), size) for size in (16, 64))
    settings = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "max_epochs": 2, "num_sanity_val_steps": 1,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pytl.Trainer(callbacks=[callback], **settings | options)
        trainer.fit(module, train, test if validates else None)


def _mean(module: Any) -> Tensor:
    return module.net[0](X).mean(0).detach()


def _recording(callback: BatchNormWatch) -> Any:
    assert callback.recording is not None
    return callback.recording


def test_each_interval_of_batches_has_a_record() -> None:
    _fit(module := _Module(), callback := BatchNormWatch(every=3))
    assert [point.step for point in _recording(callback).points] == [0, 3, 6]
    assert _recording(callback).steps == 8
    (layer,) = _recording(callback).points[0].layers.values()
    assert layer.output_grad is not None
    assert layer.output_grad > 0
    assert all(not each._forward_pre_hooks and not each._forward_hooks for each in module.modules())


def test_a_recording_ends_with_a_training_that_fails() -> None:
    callback, module = BatchNormWatch(every=1), _Module(fails=True)
    with pytest.raises(ValueError, match="broken batch"):
        _fit(module, callback)
    assert [point.step for point in _recording(callback).points] == [0, 1]
    assert all(not each._forward_pre_hooks for each in module.modules())


def test_validation_has_statistics_of_its_weights() -> None:
    callback = BatchNormCalibration([X], module="net")
    _fit(module := _Module(), callback)
    assert len(callback.reports) == 2  # the sanity check before training has none
    assert torch.allclose(module.means[-1], _mean(module), atol=1e-5)


def test_an_epoch_without_validation_ends_with_exact_statistics() -> None:
    callback = BatchNormCalibration([X], module="net")
    _fit(module := _Module(), callback, validates=False)
    assert len(callback.reports) == 2
    assert torch.allclose(module.net[1].running_mean, _mean(module), atol=1e-5)


def test_training_goes_on_as_without_calibration() -> None:
    _fit(plain := _Module(), BatchNormWatch(every=100))
    _fit(calibrated := _Module(), BatchNormCalibration([X], module="net"))
    pairs = zip(plain.parameters(), calibrated.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ArgumentError, match="_Module has no module 'model' to calibrate; it has 'net'"):
        _fit(_Module(), BatchNormCalibration([X], module="model"))


def test_a_data_set_is_refused_before_training() -> None:
    with pytest.raises(ArgumentError, match="TensorDataset is a data set"):
        BatchNormCalibration(TensorDataset(X))  # pyright: ignore[reportArgumentType]
