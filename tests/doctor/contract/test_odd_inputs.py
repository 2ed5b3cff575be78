"""Models and data of every sort are examined, or refused with one clear error."""

import gc
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import normwise
from normwise.errors import ArgumentError, DataError, ModelError, NormwiseError

_X = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
_Y = torch.arange(64) % 3
_BATCHES = [(_X[i : i + 16], _Y[i : i + 16]) for i in range(0, 64, 16)]
_LOSS = nn.CrossEntropyLoss()


def _network() -> nn.Sequential:
    """A network with the statistics of the data."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    )  # fmt: skip
    for _ in range(40):
        for x, _ in _BATCHES:
            model(x)
    return model.eval()


class _Inner(nn.Module):
    """The base of models around the network."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = _network()


@dataclass
class _Output:
    loss: Tensor | None
    logits: Tensor


class _OwnLoss(_Inner):
    """A model of the sort of transformers': its output has a loss where the batch has labels."""

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> _Output:
        logits = self.inner(pixel_values)
        return _Output(None if labels is None else F.cross_entropy(logits, labels), logits)


class _OwnLossInDict(_OwnLoss):
    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Any:
        return vars(super().forward(pixel_values, labels))


class _Masked(_Inner):
    def forward(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"logits": self.inner(image * mask)}


class _Several(_Inner):
    def forward(self, x: Tensor) -> Any:
        y = self.inner(x)
        return y, {"more": [2 * y, None, 3]}


class _Nothing(_Inner):
    def forward(self, x: Tensor) -> None:
        self.inner(x)


class _Classes(_Inner):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).argmax(1)


class _Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return zip(_X[:60], _Y[:60], strict=True)


def _function() -> Iterator[Any]:
    yield from _BATCHES


_DATA: dict[str, Callable[[], Any]] = {
    "list": lambda: _BATCHES,
    "generator": lambda: (batch for batch in _BATCHES),
    "generator function": lambda: _function,
    "iterator": lambda: iter(_BATCHES),
    "one batch": lambda: (_X, _Y),
    "dicts": lambda: [{"input": x, "labels": y} for x, y in _BATCHES],
    "with names": lambda: [(x, y, ["name"] * 16) for x, y in _BATCHES],
    "an empty batch": lambda: [*_BATCHES, (_X[:0], _Y[:0])],
    "batches of one": lambda: [(_X[i : i + 1], _Y[i : i + 1]) for i in range(6)],
    "endless": lambda: (_BATCHES[0] for _ in iter(int, 1)),
    "loader": lambda: DataLoader(TensorDataset(_X, _Y), 24),
    "loader of a stream": lambda: DataLoader(_Stream(), 16),
    "arrays": lambda: [(x.numpy(), y) for x, y in _BATCHES],
}


def _loss(output: Tensor, target: Any) -> Tensor:
    return F.cross_entropy(output, target[0] if isinstance(target, tuple) else target)


@pytest.mark.parametrize("name", _DATA)
def test_data_of_every_sort_are_read(name: str) -> None:
    diagnosis = normwise.diagnose(_network(), _DATA[name](), loss=_loss)
    assert diagnosis.examination.running.loss > 0
    assert math.isfinite(diagnosis.examination.exact.loss)
    assert diagnosis.examination.batches > 0


def _scripted_part() -> nn.Module:
    model: Any = _network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model[2] = torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval())
    return model


class _NeverCalled(_Inner):
    def __init__(self) -> None:
        super().__init__()
        self.never = nn.LazyBatchNorm2d()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def _frozen() -> nn.Module:
    model = _network()
    normwise.freeze(model)
    return model


def _compiled_in_place() -> nn.Module:
    model = _network()
    model.compile(backend="eager")
    return model


_MODELS: dict[str, Callable[[], Any]] = {
    "several outputs": _Several,
    "no output": _Nothing,
    "integers": _Classes,
    "data parallel": lambda: nn.DataParallel(_network()),
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(_network()),
    "compiled": lambda: torch.compile(_network(), backend="eager"),
    "compiled in place": _compiled_in_place,
    "TorchScript within": _scripted_part,
    "a lazy layer that is never called": _NeverCalled,
    "frozen": _frozen,
    "synchronised": lambda: nn.SyncBatchNorm.convert_sync_batchnorm(_network()),
    "without statistics": lambda: nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten()),
    "without γ and β": lambda: nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Flatten()),
    "a layer alone": lambda: nn.BatchNorm2d(3),
    "of weights that are NaN": lambda: _filled(_network(), torch.nan),
    "of weights that are infinite": lambda: _filled(_network(), torch.inf),
}


def _filled(model: Any, value: float) -> nn.Module:
    with torch.no_grad():
        model[0].weight.fill_(value)
    return model


@pytest.mark.parametrize("name", _MODELS)
def test_models_of_every_sort_are_examined(name: str) -> None:
    model = _MODELS[name]().eval()
    optimizer = torch.optim.SGD([*model.parameters(), nn.Parameter(torch.ones(1))], 0.1)
    diagnosis = normwise.diagnose(model, [x for x, _ in _BATCHES], optimizer=optimizer)
    assert diagnosis.examination.layers
    assert str(diagnosis)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_other_types_are_examined(dtype: torch.dtype) -> None:
    batches = [(x.to(dtype), y) for x, y in _BATCHES]
    diagnosis = normwise.diagnose(_network().to(dtype), batches, loss=_LOSS)
    assert diagnosis.examination.running.loss > 0


def test_embeddings_of_integers_are_examined() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 6, bias=False), nn.BatchNorm1d(6))
    batches = [(torch.randint(9, (16, 3)), torch.randint(6, (16,))) for _ in range(3)]
    assert normwise.diagnose(model.eval(), batches, loss=_LOSS).examination.running.loss > 0


def test_layers_within_a_recurrence_are_examined() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = normwise.nn.BatchNormLSTM(4, 6, batch_first=True, max_length=5)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x)[0][:, -1]

    batches = [(torch.randn(16, 5, 4), torch.randint(6, (16,))) for _ in range(3)]
    diagnosis = normwise.diagnose(Recurrent().eval(), batches, loss=_LOSS)
    assert len(diagnosis.examination.layers) > 5


def test_a_quantised_layer_is_examined() -> None:
    quantised = torch.ao.nn.quantized
    model = nn.Sequential(
        quantised.Quantize(0.1, 0, torch.quint8), quantised.BatchNorm2d(3), quantised.DeQuantize(), nn.Flatten()
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on quantised tensors
        assert normwise.diagnose(model.eval(), [x for x, _ in _BATCHES]).examination.layers


@pytest.mark.parametrize("kind", [_OwnLoss, _OwnLossInDict])
def test_the_loss_of_a_models_own_output_is_used(kind: Callable[[], nn.Module]) -> None:
    model: Any = kind().eval()
    diagnosis = normwise.diagnose(model, [{"pixel_values": x, "labels": y} for x, y in _BATCHES])
    with torch.no_grad():
        expected = torch.stack([F.cross_entropy(model.inner(x), y) for x, y in _BATCHES]).mean().item()
    assert diagnosis.examination.running.loss == pytest.approx(expected)
    assert not any("loss" in reason for reason in diagnosis.examination.skipped.values())


def test_without_labels_an_output_has_no_loss() -> None:
    diagnosis = normwise.diagnose(_OwnLoss().eval(), [{"pixel_values": x} for x, _ in _BATCHES])
    assert math.isnan(diagnosis.examination.running.loss)


def test_a_batch_of_several_arguments_is_passed_by_name() -> None:
    batches = [{"image": x, "mask": torch.ones_like(x), "labels": y} for x, y in _BATCHES]
    diagnosis = normwise.diagnose(_Masked().eval(), batches, loss=_LOSS)
    assert diagnosis.examination.running.accuracy >= 0


def test_a_distributed_wrapper_is_passed_by(tmp_path: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(_network())
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        diagnosis = normwise.diagnose(model, _BATCHES, loss=_LOSS, optimizer=optimizer)
        assert diagnosis.examination.layers[0].path == "module.1"
        # It trains as before.
        model.train()
        F.cross_entropy(model(_X), _Y).backward()
        optimizer.step()
    finally:
        # The group goes last: the wrapper's end would wait for gloo's thread, which may wait for the GIL.
        model = optimizer = diagnosis = None
        gc.collect()
        torch.distributed.destroy_process_group()


def _traced(how: Callable[..., Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return how()


def _on_meta() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def _raises_at_batch_1() -> Iterator[Any]:
    yield _BATCHES[0]
    raise OSError("disk gone")


_REFUSED: dict[str, tuple[Callable[[], Any], Callable[[], Any], Any, type[NormwiseError], str]] = {
    "no model": (lambda: _LOSS.forward, lambda: _BATCHES, None, ArgumentError, "expected a torch.nn.Module"),
    "no BN": (lambda: nn.Linear(2, 2), lambda: _BATCHES, None, ModelError, "Linear has no BN layer"),
    "lazy": (
        lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()), lambda: _BATCHES, None, ModelError,
        r"'0\.weight', which is not initialised yet\. Call the model once",
    ),
    "a lazy layer": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyBatchNorm2d()), lambda: _BATCHES, None, ModelError,
        "LazyBatchNorm2d '1' has not been initialised: call the model once",
    ),
    "meta": (_on_meta, lambda: _BATCHES, None, ModelError, r"'0\.weight' on the meta device"),
    "no batches": (_network, list, None, ArgumentError, "the data have no batches"),
    "an empty loader": (
        _network, lambda: DataLoader(TensorDataset(_X[:0], _Y[:0])), None, ArgumentError, "the data have no batches",
    ),
    "texts": (_network, lambda: ["a", "b"], None, ArgumentError, "expected one batch .*got str"),
    "a data set": (_network, lambda: TensorDataset(_X, _Y), None, ArgumentError, "is a data set"),
    "data that raise": (
        _network, lambda: _raises_at_batch_1, None, DataError, r"OSError at batch 1 \(counted from 0\): disk gone",
    ),
    "another shape": (_network, lambda: torch.randn(4, 5, 8, 8), None, ModelError, r"batch 0 \(counted from 0\)"),
    "another type": (lambda: _network().double(), lambda: _BATCHES, None, ModelError, "batch 0"),
    "no targets": (_network, lambda: [_X, _X], _LOSS, ModelError, r"needs batches of \(input, target\)"),
    "a loss that is a text": (
        _network, lambda: _BATCHES, lambda output, target: "much", ModelError, "the loss gives str; expected a number",
    ),
    "no loss": (_network, lambda: _BATCHES, "cross_entropy", ArgumentError, "expected a function or a module as loss"),
}  # fmt: skip


@pytest.mark.parametrize("name", _REFUSED)
def test_what_can_not_be_examined_is_refused_with_one_clear_error(name: str) -> None:
    model, data, loss, error, said = _REFUSED[name]
    with pytest.raises(error, match=said) as caught:
        normwise.diagnose(model(), data(), loss=loss)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "make", [torch.jit.script, lambda model: torch.jit.trace(model, _X)], ids=["script", "trace"]
)
def test_a_model_of_torchscript_is_examined_by_its_graph(make: Callable[..., Any]) -> None:
    model = _traced(lambda: make(_network()))
    assert str(normwise.diagnose(model, _BATCHES, loss=_LOSS))


def test_a_model_without_values_is_examined_by_what_it_is_without_data() -> None:
    assert normwise.diagnose(_on_meta()).examination.layers
    normwise.diagnose(nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()))


def test_a_loader_that_fails_before_its_first_batch_is_named_as_the_cause() -> None:
    class Broken:
        def __iter__(self) -> Iterator[torch.Tensor]:
            raise OSError("the disk is gone")

    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    with pytest.raises(DataError, match=r"the data raise OSError at batch 0 .*: the disk is gone"):
        normwise.diagnose(model, Broken())
