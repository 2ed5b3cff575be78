"""The callback warns as check_every does: with both of Lightning's packages where they are installed."""

import importlib
import pickle
import sys
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from normwise.errors import BatchNormWarning, MissingPackageError
from tests.callbacks import lightning_stand_in

_OURS = "normwise.callbacks.lightning"
_LIBRARIES = ("lightning.pytorch", "pytorch_lightning")


@pytest.fixture(params=["stand-in", *_LIBRARIES])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Lightning, as one of its packages or a stand-in; normwise.callbacks.lightning is imported beside it alone."""
    for name in (*_LIBRARIES, _OURS):
        if name in sys.modules:
            monkeypatch.delitem(sys.modules, name)
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "lightning", ModuleType("lightning"))
        monkeypatch.setitem(sys.modules, "lightning.pytorch", library := lightning_stand_in.library())
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library = pytest.importorskip(request.param)
    yield library
    sys.modules.pop(_OURS, None)


def _module(library: Any, *, frozen: bool = False, optimizers: int = 1) -> Any:
    class Module(library.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.inner = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
            self.inner[1].requires_grad_(not frozen)
            self.automatic_optimization = optimizers == 1

        def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
            # Without a call of the module itself, as many write it.
            loss = F.cross_entropy(self.inner(batch[0]), batch[1])
            if optimizers > 1:
                for optimizer in self.optimizers():
                    optimizer.zero_grad()
                loss.backward()
                for optimizer in self.optimizers():
                    optimizer.step()
                return None
            return loss

        def configure_optimizers(self) -> Any:
            made = [torch.optim.SGD(self.inner[i].parameters(), 0.05) for i in (0, 3)][:optimizers]
            return torch.optim.SGD(self.parameters(), 0.05) if optimizers == 1 else made

    return Module()


def _fit(
    library: Any, module: Any, callback: Any, *, x: Tensor | None = None, fails: str = "", **options: Any
) -> list[str]:
    """Texts of the warnings of normwise."""
    x = torch.randn(48, 4, generator=torch.Generator().manual_seed(0)) if x is None else x
    loader = DataLoader(TensorDataset(x, torch.arange(len(x)) % 3), 16)
    settings = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "max_epochs": 1,
    }  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = library.Trainer(callbacks=[callback], **settings | options)
        with pytest.raises(ValueError, match=fails) if fails else nullcontext():
            trainer.fit(module, loader)
    return [str(one.message) for one in caught if one.category is BatchNormWarning]


def _callback(every: int = 1) -> Any:
    return importlib.import_module(_OURS).BatchNormCheck(every)


def test_a_sound_training_gets_no_warning(library: Any) -> None:
    callback = _callback()
    assert isinstance(callback, library.Callback)
    assert _fit(library, module := _module(library), callback) == []
    assert callback.check.steps == 3
    assert all(not each._forward_pre_hooks for each in module.modules())


def test_frozen_parameters_whose_statistics_move_are_warned_of(library: Any) -> None:
    (said,) = _fit(library, _module(library, frozen=True), _callback())
    assert said.startswith("BN303 in BatchNorm1d 'inner.1'")


def test_accumulated_gradients_are_warned_of(library: Any) -> None:
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    (said,) = _fit(library, _module(library), _callback(), x=x, accumulate_grad_batches=2)
    assert said.startswith("BN504")
    assert "2 micro-batches" in said


def test_a_small_last_batch_is_warned_of_before_torch_raises(library: Any) -> None:
    module = _module(library)
    (said,) = _fit(
        library, module, _callback(1000), x=torch.randn(33, 4), fails="more than 1 value per channel"
    )
    assert said.startswith("BN501 in BatchNorm1d 'inner.1'")
    assert all(not each._forward_pre_hooks for each in module.modules())


def test_a_module_with_several_optimizers_is_checked_by_batches(library: Any) -> None:
    if library.__name__ == "lightning.pytorch" and not hasattr(library, "seed_everything"):
        pytest.skip("the stand-in has one optimizer")
    callback = _callback()
    x = torch.randn(48, 4)
    x[20] = torch.nan
    (said,) = _fit(library, _module(library, optimizers=2), callback, x=x)
    assert said.startswith("BN203")
    assert callback.check.steps == 3


def test_a_callback_that_checks_can_be_pickled(library: Any) -> None:
    callback, module = _callback(7), _module(library)
    callback.on_train_start(SimpleNamespace(optimizers=[torch.optim.SGD(module.parameters(), 0.1)]), module)
    other = pickle.loads(pickle.dumps(callback))
    assert (other.every, other.check) == (7, None)


def test_without_lightning_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning", "pytorch_lightning"):
        for loaded in [each for each in sys.modules if each.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, _OURS, raising=False)
    with pytest.raises(MissingPackageError, match="which is not installed: pip install lightning"):
        importlib.import_module(_OURS)
