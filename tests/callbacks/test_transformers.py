"""Callbacks in Hugging Face's own Trainer, where it is installed."""

import importlib
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.errors import BatchNormWarning

_OURS = "normwise.callbacks.transformers"
X = 5 + 2 * torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
DATA = [{"pixels": x, "labels": torch.tensor(i % 3)} for i, x in enumerate(X)]


@pytest.fixture
def callbacks() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("accelerate")
        pytest.importorskip("transformers")
    return importlib.import_module(_OURS)


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        self.means: list[Tensor] = []

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        if not self.training and labels is not None and len(labels) == 8:
            self.means.append(self.net[1].running_mean.clone())  # pyright: ignore
        logits = self.net(pixels)
        return (
            {"logits": logits}
            if labels is None
            else {"loss": F.cross_entropy(logits, labels), "logits": logits}
        )


def _train(folder: Path, callback: Any, **options: Any) -> tuple[_Model, list[str]]:
    """Return the trained model, and the texts of normwise's warnings."""
    transformers = importlib.import_module("transformers")
    settings = {
        "num_train_epochs": 2, "per_device_train_batch_size": 16, "learning_rate": 0.05, "report_to": [],
        "disable_tqdm": True, "use_cpu": True, "save_strategy": "no", "logging_strategy": "no",
    }  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        args = transformers.TrainingArguments(str(folder), **settings | options)
        model = _Model()
        trainer = transformers.Trainer(
            model, args, train_dataset=DATA, eval_dataset=DATA[:8], callbacks=[callback]
        )
        trainer.train()
    return model, [str(one.message) for one in caught if one.category is BatchNormWarning]


def _mean(model: _Model) -> Tensor:
    return model.net[0](X).mean(0).detach()


def test_each_interval_of_passes_has_a_record(callbacks: Any, tmp_path: Path) -> None:
    callback = callbacks.BatchNormWatch(every=3)
    model, _ = _train(tmp_path, callback)
    assert [point.step for point in callback.recording.points] == [0, 3, 6]
    assert all(not each._forward_pre_hooks for each in model.modules())


def test_evaluation_has_statistics_of_its_weights(callbacks: Any, tmp_path: Path) -> None:
    callback = callbacks.BatchNormCalibration([{"pixels": X, "labels": torch.zeros(64, dtype=torch.long)}])
    model, _ = _train(tmp_path, callback, eval_strategy="epoch")
    assert len(callback.reports) == 2
    assert len(model.means) == 2
    assert torch.allclose(model.means[-1], _mean(model), atol=1e-5)


def test_a_training_without_evaluation_ends_with_exact_statistics(callbacks: Any, tmp_path: Path) -> None:
    callback = callbacks.BatchNormCalibration([{"pixels": X}])
    model, _ = _train(tmp_path, callback)
    assert len(callback.reports) == 1
    assert torch.allclose(model.net[1].running_mean, _mean(model), atol=1e-5)  # pyright: ignore


def test_accumulated_gradients_are_warned_of(callbacks: Any, tmp_path: Path) -> None:
    callback = callbacks.BatchNormCheck(every=1)
    _, said = _train(tmp_path, callback, gradient_accumulation_steps=2)
    assert [text.split(" ")[0] for text in said] == ["BN504"]
    assert callback.check.steps == 4


def test_without_transformers_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, _OURS, raising=False)
    with pytest.raises(ImportError, match="pip install transformers accelerate"):
        importlib.import_module(_OURS)
