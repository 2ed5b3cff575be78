"""Norm layers of other libraries go through every operation, proven on numbers first."""

import copy
import pickle
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.layers import kind_of_norm
from normwise.surgery.core.decision import LeftError
from normwise.surgery.proof.foreign_layer import check_foreign
from tests.support.foreign_layers import (
    FROZEN,
    BatchNormAct2d,
    FrozenBatchNormAct2d,
    SyncBatchNormAct,
    randomise,
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let classes be pickled as they are where the library is installed."""
    for name in ("timm", "timm.layers", "timm.layers.norm_act"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for kind in (BatchNormAct2d, SyncBatchNormAct, FrozenBatchNormAct2d):
        setattr(sys.modules["timm.layers.norm_act"], kind.__name__, kind)


X = torch.randn(6, 3, 7, 7, generator=torch.Generator().manual_seed(1))

ACT = {
    "relu": lambda: BatchNormAct2d(4, eps=1e-3),
    "silu": lambda: BatchNormAct2d(4, nn.SiLU(inplace=True)),
    "without": lambda: BatchNormAct2d(4, nn.Identity()),
    "prelu": lambda: BatchNormAct2d(4, nn.PReLU(4)),
    "softplus": lambda: BatchNormAct2d(4, nn.Softplus()),
    "dropout": lambda: BatchNormAct2d(4, nn.ReLU(), nn.Dropout2d(0.5)),
    "without affine": lambda: BatchNormAct2d(4, affine=False),
    "synchronised": lambda: SyncBatchNormAct(4),
    "frozen": lambda: FrozenBatchNormAct2d(4),
}
FUSED = {"relu": "relu", "silu": "silu", "without affine": "relu"}


def _model(layer: nn.Module) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), layer, nn.Conv2d(4, 4, 1))
    return randomise(model).double()


def _same(new: nn.Module, old: nn.Module) -> None:
    with torch.no_grad():
        torch.testing.assert_close(
            copy.deepcopy(new).eval()(X.double()), copy.deepcopy(old).eval()(X.double())
        )


@pytest.mark.parametrize("name", ACT)
def test_fold_leaves_the_activation_where_it_was(name: str) -> None:
    model = _model(ACT[name]()).eval()
    new: Any
    new, report = normwise.fold(model, X.double(), timed=False)
    assert report.changes[0].changed, report
    assert report.changes[0].detail.startswith("folded into Conv2d '0' before it")
    _same(new, model)
    if name == "without":
        assert type(new[1]) is nn.Identity
    else:
        assert type(new[1].act) is type(model[1].act)
        assert f"{new[1].act!s}" in report.changes[0].detail
    kept = {key for key in model.state_dict() if ".act." in key}
    assert kept == {key for key in new.state_dict() if ".act." in key}


@pytest.mark.parametrize("library", FROZEN)
def test_fold_of_constants(library: str) -> None:
    layer = FROZEN[library][0](4)
    randomise(layer)
    layer.running_var.fill_(1e-4)  # where each ε is another number
    model = _model(layer).eval()
    layer.running_var.fill_(1e-4)
    new, report = normwise.fold(model, X.double(), timed=False)
    assert report.changes[0].changed, report
    assert report.output_error < 1e-12
    _same(new, model)


def test_an_activation_within_a_layer_keeps_it_from_the_layer_behind() -> None:
    model = randomise(nn.Sequential(BatchNormAct2d(3), nn.Conv2d(3, 4, 1))).eval()
    report = normwise.fold(model, X, timed=False)[1]
    assert report.changes[0].detail == "before Conv2d '1' it activates, adds or masks"


@pytest.mark.parametrize("name", [name for name in ACT if name not in ("synchronised", "frozen")])
def test_accelerate_computes_it_and_leaves_its_class(name: str) -> None:
    model = _model(ACT[name]()).float().train()
    new, report = normwise.accelerate(model, X)
    assert (report.layers[0].replaced, report.layers[0].activation) == (True, FUSED.get(name)), report
    layer = new[1]  # pyright: ignore[reportIndexIssue]
    assert isinstance(layer, BatchNormAct2d)
    assert isinstance(layer, normwise.nn.BatchNorm2d)
    assert layer.act is not model[1].act
    assert list(new.state_dict()) == list(model.state_dict())
    for other in (new, pickle.loads(pickle.dumps(new))):
        expected, got = copy.deepcopy(model), copy.deepcopy(other)
        for training in (True, False):
            x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
            torch.manual_seed(0)
            a = expected.train(training)(x)
            torch.manual_seed(0)
            b = got.train(training)(y)
            torch.testing.assert_close(b, a)
            a.square().sum().backward()
            b.square().sum().backward()
            torch.testing.assert_close(y.grad, x.grad, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(got.state_dict(), expected.state_dict())
    again, second = normwise.accelerate(new, X)
    assert second.layers[0].replaced
    assert type(again[1]) is type(layer)  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("library", [*FROZEN, "timm"])
def test_accelerate_computes_constants(library: str) -> None:
    layer = FrozenBatchNormAct2d(4) if library == "timm" else FROZEN[library][0](4)
    model = _model(layer).float()
    layer.running_var.fill_(1e-4)
    new: Any
    new, report = normwise.accelerate(model, X)
    expected = "hardswish" if library == "timm" else None
    assert (report.layers[0].replaced, report.layers[0].activation) == (True, expected), report
    assert isinstance(new[1], type(layer))
    assert list(new.state_dict()) == list(model.state_dict())
    torch.testing.assert_close(new(X), model(X), rtol=1e-4, atol=1e-4)
    x = torch.randn(2, 4, 3, 3).half()
    torch.testing.assert_close(_outcome(new[1], x), _outcome(layer, x))
    assert kind_of_norm(new[1]).eps == kind_of_norm(layer).eps
    folded = normwise.fold(new.eval(), X, timed=False)[1]
    assert folded.changes[0].changed, folded
    assert normwise.accelerate(new, X)[1].layers[0].replaced


def _outcome(layer: nn.Module, x: Tensor) -> Any:
    try:
        return layer(x)
    except RuntimeError as error:
        return str(error)


def test_an_accelerated_layer_asks_at_each_call_what_follows() -> None:
    new = normwise.accelerate(_model(BatchNormAct2d(4)).float().eval(), X)[0]
    layer: Any = new[1]  # pyright: ignore[reportIndexIssue]
    seen: list[Any] = []
    handle = layer.act.register_forward_hook(lambda *_: seen.append(1))
    before = new(X)
    assert seen == [1]
    handle.remove()
    torch.testing.assert_close(new(X), before)
    assert seen == [1]
    layer.act = nn.Tanh()
    torch.testing.assert_close(layer(new[0](X)), torch.tanh(layer.normalise_and_add(new[0](X), None, None)))  # pyright: ignore[reportIndexIssue]
    assert torch.fx.symbolic_trace(new)(X).shape == before.shape


def test_accelerated_layers_are_calibrated_frozen_and_folded_as_before() -> None:
    model = _model(BatchNormAct2d(4)).float()
    new: Any = normwise.accelerate(model, X)[0]
    for other in (model, new):
        normwise.calibrate(other, X)
    torch.testing.assert_close(new[1].running_mean, model[1].running_mean)
    assert normwise.freeze(new).layers == ("1",)
    assert new.train()[1].training is False
    normwise.unfreeze(new)
    folded, report = normwise.fold(new.eval(), X, timed=False)
    assert report.changes[0].changed, report
    _same(folded.double(), model.double())


def test_a_synchronised_one_keeps_its_forward() -> None:
    report = normwise.accelerate(_model(SyncBatchNormAct(4)).float(), X)[1]
    assert not report.layers[0].replaced
    assert "between processes" in report.layers[0].reason


@pytest.mark.parametrize("to", ["batch", "group", "layer", "instance", "torch"])
@pytest.mark.parametrize("name", [name for name in ACT if name != "dropout"])
def test_convert_takes_what_follows_along(name: str, to: str) -> None:
    model = _model(ACT[name]())
    new, report = normwise.convert(model, to, example=X.double())
    if to == "torch" and name not in ("synchronised", "frozen"):
        assert report.changes[0].detail == "it is a subclass of one already"
        return
    assert report.changes[0].changed, report
    layer: Any = new[1]  # pyright: ignore[reportIndexIssue]
    assert "drop and act go along" in report.changes[0].detail
    assert not isinstance(layer, (BatchNormAct2d, SyncBatchNormAct, FrozenBatchNormAct2d))
    x = new[0](X.double())  # pyright: ignore[reportIndexIssue]
    torch.testing.assert_close(copy.deepcopy(layer).eval()(x), layer.act(_without(layer).eval()(x)))
    if to in ("batch", "torch"):
        _same(new, model)
    for other in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
        _same(other, new)


def _without(layer: nn.Module) -> nn.Module:
    other = copy.deepcopy(layer)
    vars(other)["_followers"] = ()
    return other


def test_there_and_back() -> None:
    model = _model(BatchNormAct2d(4, nn.PReLU(4)))
    group = normwise.convert(model, "group")[0]
    back, report = normwise.convert(group, "batch", example=X.double())
    assert "its drop and act go along" in report.changes[0].detail
    layer: Any = back[1]  # pyright: ignore[reportIndexIssue]
    assert isinstance(layer, normwise.nn.BatchNorm2d)
    assert layer.act.weight is not None
    assert layer(X.double()[:, [0, 1, 2, 0]]).shape == (6, 4, 7, 7)
    again = normwise.convert(back, "batch", example=X.double())[1]
    assert again.changes[0].detail == "it is one already"


@pytest.mark.parametrize("name", ["relu", "silu", "synchronised", "frozen", "prelu"])
def test_calibrate_and_freeze_count_them(name: str) -> None:
    model = _model(ACT[name]())
    report = normwise.calibrate(model, X.double(), include_frozen=True)
    assert report.layers[0].calibrated, report
    expected = model[0](X.double()).mean((0, 2, 3))
    torch.testing.assert_close(model[1].running_mean, expected)
    assert normwise.freeze(model).layers == (() if name == "frozen" else ("1",))


class _Doubles(BatchNormAct2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class _DoublesInTraining(BatchNormAct2d):
    def forward(self, input: Tensor) -> Tensor:
        return (2 if self.training else 1) * super().forward(input)


class _Fails(BatchNormAct2d):
    def forward(self, input: Tensor) -> Tensor:
        raise ValueError("not here")


@pytest.mark.parametrize("kind", [_Doubles, _DoublesInTraining])
def test_a_subclass_that_computes_something_else_is_left(kind: Any) -> None:
    model = _model(kind(4)).float().eval()
    where = " in training" if kind is _DoublesInTraining else ""
    reason = f"computes something else{where} than batch normalization by its buffers, with its ε of 1e-05"
    for report in (
        normwise.accelerate(model, X)[1].layers[0],
        normwise.convert(model, "group", example=X)[1].changes[0],
    ):
        assert reason in str(report)
    assert normwise.fold(model, X, timed=False)[1].changes[0].changed is (kind is _DoublesInTraining)


def test_a_trial_that_fails_says_so_and_leaves_the_layer_alone() -> None:
    layer = _Fails(3)
    with pytest.raises(LeftError, match=r"can't be tried on random numbers \(not here\); pass an example"):
        check_foreign(kind_of_norm(layer), None)
    other = randomise(BatchNormAct2d(3)).train().double()
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    check_foreign(kind_of_norm(other), X, trains=True)
    torch.testing.assert_close(other.state_dict(), before, rtol=0, atol=0)
    assert other.training


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_trial_allows_what_rounding_does(offset: float) -> None:
    layer = randomise(BatchNormAct2d(3))
    check_foreign(kind_of_norm(layer), offset + 1e-3 * X, trains=True)
    check_foreign(kind_of_norm(layer), offset + torch.randn(2, 3, 1, 1), trains=True)
