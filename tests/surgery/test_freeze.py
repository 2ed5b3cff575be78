"""A model whose statistics don't move, whatever is done to it, until they are let go."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

import normwise
from normwise.errors import ArgumentError
from normwise.models import build
from normwise.nn.mixins.frozen import is_frozen
from normwise.statistics import evaluating

X = 2 + torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    shared = normwise.nn.BatchNorm1d(4)
    model = nn.Sequential(
        nn.Linear(4, 4),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        shared,
        nn.Sequential(nn.Linear(4, 4), shared),
        nn.Linear(4, 2),
    )
    model(X)
    return model


def _statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def _moved(model: nn.Module, before: dict[str, Tensor]) -> bool:
    return any(not torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def _step(model: nn.Module, *, parameters: Any = None) -> None:
    optimizer = torch.optim.SGD(
        model.parameters() if parameters is None else parameters, lr=0.1, weight_decay=0.1
    )
    model.train()(X).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_frozen_backbone_keeps_its_statistics_where_requires_grad_does_not() -> None:
    """https://github.com/pytorch/pytorch/issues/86590, https://github.com/Lightning-AI/pytorch-lightning/issues/18930"""
    model, plain = _model(), _model()
    for parameter in plain[:-1].parameters():
        parameter.requires_grad_(False)
    assert normwise.freeze(model, parameters=True).layers == ("1", "3")
    before = _statistics(model)
    _step(plain)
    _step(model)
    assert _moved(plain, before)
    assert not _moved(model, before)


def test_what_is_no_batch_norm_trains_on() -> None:
    model, before = _model(), _model()
    normwise.freeze(model, parameters=True)
    _step(model)
    for path, same in {"0": False, "1": True, "3": True, "4.0": False, "5": False}.items():
        one, other = model.get_submodule(path), before.get_submodule(path)
        assert torch.equal(one.get_parameter("weight"), other.get_parameter("weight")) is same, path


@pytest.mark.parametrize("parameters", [False, True])
def test_unfreezing_undoes_it_exactly(parameters: bool) -> None:
    model = _model()
    model.get_submodule("1").eval()
    model.get_parameter("3.bias").requires_grad_(False)
    kinds, modes = [type(m) for m in model.modules()], [m.training for m in model.modules()]
    requires, state = [p.requires_grad for p in model.parameters()], copy.deepcopy(model.state_dict())
    kept = [dict(vars(module)) for module in model.modules()]
    normwise.freeze(model, parameters=parameters)
    assert [is_frozen(m) for m in model.modules()].count(True) == 2
    assert normwise.unfreeze(model).layers == ("1", "3")
    assert [type(m) for m in model.modules()] == kinds
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == requires
    assert [vars(module) for module in model.modules()] == kept
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert normwise.unfreeze(model).layers == ()


def test_a_model_that_was_never_frozen_is_left_alone() -> None:
    model = _model().eval()
    assert normwise.unfreeze(model).layers == ()
    assert not any(module.training for module in model.modules())


def test_a_shared_layer_is_frozen_once_and_stays_shared() -> None:
    model = _model()
    normwise.freeze(model)
    assert model.get_submodule("3") is model.get_submodule("4.1")


def test_copies_and_pickles_are_frozen() -> None:
    model = build("cnn_64", (3, 12, 12), 10)
    images = torch.randn(4, 3, 12, 12)
    normwise.freeze(model)
    before = _statistics(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.train()(images)
        assert not _moved(other, before)
        assert normwise.unfreeze(other).layers == ("features.0.norm", "features.2.norm", "hidden.norm")
        other.train()(images)
        assert _moved(other, before)


@pytest.mark.usefixtures("compiler_caches_cleared")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_stays_frozen(backend: str) -> None:
    model = _model()
    normwise.freeze(model)
    compiled: Any = torch.compile(model, backend=backend, fullgraph=True)
    before = _statistics(model)
    torch.testing.assert_close(compiled.train()(X), copy.deepcopy(model).eval()(X))
    _step(compiled)
    assert not _moved(model, before)


@pytest.mark.parametrize("use_buffers", [False, True])
def test_an_averaged_model_stays_frozen(use_buffers: bool) -> None:
    model = _model()
    normwise.freeze(model)
    averaged, before = AveragedModel(model, use_buffers=use_buffers), _statistics(model)
    for _ in range(3):
        _step(model)
        averaged.update_parameters(model)
    update_bn([X], averaged)
    assert not _moved(averaged.module, before)


def test_evaluating_for_a_while_is_not_remembered_as_a_mode() -> None:
    model = _model()
    normwise.freeze(model)
    with evaluating(model):
        pass
    normwise.unfreeze(model)
    assert all(module.training for module in model.modules())


def test_constants_of_others_are_frozen_already() -> None:
    class FrozenBatchNorm2d(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in ("weight", "bias", "running_mean", "running_var"):
                self.register_buffer(name, torch.ones(3))

    assert normwise.freeze(nn.Sequential(FrozenBatchNorm2d())).layers == ()


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.BatchNorm1d(4, track_running_stats=False), "BatchNorm1d '1' can't be frozen: it keeps no running stat"),
        (nn.LazyBatchNorm1d(), "LazyBatchNorm1d '1' can't be frozen: it has not been initialised"),
    ],
    ids=["no statistics", "lazy"],
)  # fmt: skip
def test_where_there_is_nothing_to_fix_nothing_is_frozen(layer: nn.Module, said: str) -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), layer)
    with pytest.raises(ArgumentError, match=said):
        normwise.freeze(model)
    assert type(model[0]) is nn.BatchNorm1d
