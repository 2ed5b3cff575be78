"""Norms that have statistics for each step, synchronised and back."""

import copy
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

import normwise
from normwise.nn import BatchNormGRU, BatchNormLSTM
from normwise.nn.recurrent import StepBatchNorm, SyncStepBatchNorm
from normwise.records import Conversion


class Named(StepBatchNorm):
    """A subclass."""


@pytest.fixture
def model() -> Any:
    """A network of recurrent layers whose statistics have moved."""
    torch.manual_seed(0)
    made = nn.ModuleDict({"lstm": BatchNormLSTM(3, 4, bidirectional=True), "gru": BatchNormGRU(3, 4)})
    for layer in made.values():
        layer(torch.randn(5, 6, 3))
    return made


def _convert(model: nn.Module, to: str, **settings: Any) -> tuple[Any, Conversion]:
    return normwise.convert(model, to, **settings)


def _norms(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, StepBatchNorm)]


def test_all_norms_are_synchronised_and_nothing_else_changes(model: Any) -> None:
    new, report = _convert(model, "sync", timeout=5.0)
    assert {type(norm) for norm in _norms(new)} == {SyncStepBatchNorm}
    assert {norm.timeout for norm in _norms(new)} == {5.0}
    assert {type(norm) for norm in _norms(model)} == {StepBatchNorm}
    assert len(report.changes) == 8
    assert all(change.changed for change in report.changes)
    assert report.changes[1].detail == "now normwise.nn.recurrent.SyncStepBatchNorm(16)"
    assert not report.alters
    assert not report.retrain
    expected, found = model.state_dict(), new.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_there_and_back_is_what_there_was(model: Any) -> None:
    calls: list[int] = []
    model["gru"].norm_hh_l0.register_forward_hook(lambda *_: calls.append(1))
    model["gru"].norm_hh_l0.tag = "kept"
    there, _ = _convert(model, "sync", timeout=5.0)
    back, _ = _convert(there, "batch")
    assert {type(norm) for norm in _norms(back)} == {StepBatchNorm}
    assert not any(hasattr(norm, name) for norm in _norms(back) for name in ("timeout", "process_group"))
    assert back["gru"].norm_hh_l0.tag == "kept"
    back["gru"](torch.zeros(2, 2, 3))
    assert len(calls) == 2
    again, _ = _convert(back, "sync")
    assert {norm.timeout for norm in _norms(again)} == {5.0}


def test_in_place_the_norms_stay_the_same_objects(model: Any) -> None:
    before = _norms(model)
    new, _ = _convert(model, "sync", inplace=True)
    assert new is model
    assert all(one is other for one, other in zip(_norms(model), before, strict=True))
    assert {type(norm) for norm in before} == {SyncStepBatchNorm}


@pytest.mark.parametrize(("start", "to"), [("batch", "batch"), ("sync", "sync")])
def test_what_is_one_already_is_left(model: Any, start: str, to: str) -> None:
    _, report = _convert(_convert(model, start)[0], to)
    assert {change.detail for change in report.changes} == {"it is one already"}


@pytest.mark.parametrize("to", ["torch", "ghost", "renorm", "group", "layer", "instance", "frozen"])
@pytest.mark.parametrize("start", ["batch", "sync"])
def test_other_targets_leave_them(model: Any, start: str, to: str) -> None:
    started = _convert(model, start)[0]
    new, report = _convert(started, to)
    assert not any(change.changed for change in report.changes)
    assert [type(norm) for norm in _norms(new)] == [type(norm) for norm in _norms(started)]
    assert {change.detail for change in report.changes} == {StepBatchNorm.traits.reason}


def test_settings_take_the_place_of_what_a_layer_had(model: Any) -> None:
    new, report = _convert(model, "sync", eps=1e-3, momentum=None)
    assert {(norm.eps, norm.momentum) for norm in _norms(new)} == {(1e-3, None)}
    assert report.alters
    assert report.changes[0].detail.endswith(
        "its eps is 0.001, and was 1e-05; its momentum is None, and was 0.1"
    )
    other, report = _convert(new, "sync", timeout=9.0)
    assert {norm.timeout for norm in _norms(other)} == {9.0}
    assert not report.alters


def test_what_can_not_be_is_left_and_says_why(model: Any) -> None:
    model["gru"].norm_hh_l0 = Named(12, 100, bias=False)
    new, report = _convert(model, "sync")
    reasons = {change.path: change.detail for change in report.changes if not change.changed}
    assert reasons == {"gru.norm_hh_l0": "Named may do anything in its forward"}
    assert type(new["gru"].norm_hh_l0) is Named
    _, report = _convert(model, "sync", track_running_stats=False)
    assert report.changes[0].detail == (
        "its running statistics can't be dropped: it normalises batches of one by them"
    )


def test_a_frozen_norm_trains_again_and_the_report_says_so(model: Any) -> None:
    normwise.freeze(model)
    new, report = _convert(model.train(), "sync")
    assert {type(norm) for norm in _norms(new)} == {SyncStepBatchNorm}
    assert all(norm.training for norm in _norms(new))
    assert all(change.detail.endswith("it is not frozen any more") for change in report.changes)


def test_a_timeout_is_a_positive_number(model: Any) -> None:
    with pytest.raises(normwise.errors.ArgumentError, match="a positive number of seconds as timeout, got 0"):
        _convert(model, "sync", timeout=0)
    with pytest.raises(normwise.errors.ArgumentError, match="timeout must be a number of seconds above 0"):
        SyncStepBatchNorm(3, 2, timeout=-1.0)


def test_a_copy_has_the_same_group(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    group: Any = object()
    new, _ = _convert(model, "sync", process_group=group)
    assert {norm.process_group for norm in _norms(copy.deepcopy(new))} == {group}
    assert not dist.is_initialized()


def test_sequence_norms_have_their_inner_layer_synchronised() -> None:
    new, _ = _convert(normwise.nn.SequenceBatchNorm(3, activation="relu"), "sync")
    assert type(new.norm) is normwise.nn.SyncBatchNorm
    assert new.norm.activation == "relu"
    back, _ = _convert(new, "batch", example=torch.randn(4, 2, 3))
    assert type(back.norm) is normwise.nn.BatchNorm1d
