"""Each operation of the library on a model, held to what it promises for any model."""

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import normwise
from normwise.errors import ModelError
from normwise.layers import batch_norms
from normwise.records import Change, Conversion
from normwise.surgery import remove_biases

from .comparisons import (
    DOUBLE,
    assert_close,
    assert_copies,
    assert_evaluates,
    assert_same_evaluation,
    assert_same_step,
    assert_same_training,
    hooks_of,
    training_passes,
    untouched,
)
from .normalised import normalised
from .running import evaluate, train, train_copy
from .specimen import Subject

#: Norms that are none by batch, which `convert` makes layers of BN, too, when it is to make some.
_OTHER_NORMS = (nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


@dataclass(frozen=True)
class Outcome:
    """Effect of an operation on a model.

    Attributes:
        done, places: How many places it changed, and how many there were.
        left: Why the others were left, and how many for that reason.
        more: Further counts, by name.
    """

    done: int
    places: int
    left: Counter[str] = field(default_factory=Counter)
    more: dict[str, int] = field(default_factory=dict)


def accelerate(subject: Subject) -> Outcome:
    """Outputs, gradients and statistics stay what they were, whatever layers take over."""
    with untouched(subject.model, subject.example), training_passes(subject.model) as trained:
        new, report = normwise.accelerate(subject.model, subject.example)
    assert len(set(trained)) > 1, "training was not compared"
    assert str(report)
    assert list(new.state_dict()) == list(subject.model.state_dict())
    assert_same_evaluation(subject, new)
    assert_same_training(subject, new)
    assert_copies(subject, new)
    fused = [change for change in report.layers if change.activation or change.residual]
    return Outcome(
        sum(change.replaced for change in report.layers),
        len(report.layers),
        _reasons(change.reason for change in report.layers if change not in fused),
        {
            "activations": sum(bool(change.activation) for change in fused),
            "additions": sum(change.residual for change in fused),
        },
    )


def fold(subject: Subject) -> Outcome:
    """Outputs in evaluation stay what they were; those of a model in float64 to rounding of float64."""
    with untouched(subject.model, subject.example):
        new, report = normwise.fold(subject.model, subject.example, timed=False)
    assert str(report)
    assert_evaluates(subject, new)
    assert_copies(subject, new)
    if (exact := subject.double) is not None:
        assert_evaluates(exact, normwise.fold(exact.model, exact.example, timed=False)[0], DOUBLE)
    return _outcome(report.changes)


def insert(subject: Subject) -> Outcome:
    """With data, outputs in evaluation stay what they were, and the new layers train."""
    batches = [subject.example, subject.other]
    try:
        with untouched(subject.model, *batches):
            new, report = normwise.insert(subject.model, subject.example, data=batches)
    except ModelError as error:
        # Each convolution has its BN layer already.
        if "has no place for a BN layer" not in str(error):
            raise
        return Outcome(0, 0)
    assert str(report)
    assert_evaluates(subject, new)
    _assert_trains(new, subject)
    assert_copies(subject, new)
    return _outcome(report.changes)


def convert_to_batch(subject: Subject) -> Outcome:
    """Our layers compute what the model's did, in evaluation and in training, and so do torch's in their place."""
    ours, report = _convert(subject, "batch")
    _assert_same(subject, report, ours)
    assert_copies(subject, ours)
    with untouched(ours, subject.example):
        back, _ = normwise.convert(ours, "torch", example=subject.example)
    assert_close(evaluate(ours, subject.other), evaluate(back, subject.other), 1e-3, "torch's layers")
    return _outcome(report.changes)


def convert_to_torch(subject: Subject) -> Outcome:
    """Torch's layers compute what the model's did, in evaluation and in training."""
    new, report = _convert(subject, "torch")
    _assert_same(subject, report, new)
    return _outcome(report.changes)


def convert_to_group(subject: Subject) -> Outcome:
    """Another normalisation: the report says that outputs change, and the model trains."""
    new, report = _convert(subject, "group")
    assert report.alters == any(change.changed for change in report.changes)
    _assert_trains(new, subject)
    assert_copies(subject, new)
    return _outcome(report.changes)


def convert_to_frozen(subject: Subject) -> Outcome:
    """Outputs in evaluation stay; training normalises by the same statistics and leaves them alone."""
    new, report = _convert(subject, "frozen")
    assert_same_evaluation(subject, new)
    _assert_statistics_stay(new, subject)
    return _outcome(report.changes)


def biases(subject: Subject) -> Outcome:
    """Outputs, and gradients of all other parameters, stay what they were."""
    with untouched(subject.model, subject.example), training_passes(subject.model) as trained:
        new, report = remove_biases(subject.model, subject.example)
    assert str(report)
    if report.removed:
        assert len(set(trained)) > 1, "training was not compared"
        assert_evaluates(subject, new)
        assert_same_training(subject, new, statistics=False)
        assert_copies(subject, new)
        if (exact := subject.double) is not None:
            assert_evaluates(exact, remove_biases(exact.model, exact.example)[0], DOUBLE)
    return _outcome(report.changes)


def freeze(subject: Subject) -> Outcome:
    """Training leaves frozen statistics alone; unfreezing gives the model back that there was."""
    model = copy.deepcopy(subject.model)
    kinds, keys = [type(module) for module in model.modules()], list(model.state_dict())
    frozen = normwise.freeze(model)
    assert list(model.state_dict()) == keys
    assert_evaluates(subject, model, 0.0)
    _assert_statistics_stay(model, subject)
    assert normwise.unfreeze(model).layers == frozen.layers
    assert [type(module) for module in model.modules()] == kinds
    assert_same_step(subject.step, train(model, subject.other))
    return Outcome(len(frozen.layers), len(_layers(model)))


def calibrate(subject: Subject) -> Outcome:
    """Running statistics become those of what evaluation normalises; all else stays."""
    model, batches = copy.deepcopy(subject.model), [subject.example, subject.other]
    report = normwise.calibrate(model, batches)
    assert str(report)
    calibrated = [layer.path for layer in report.layers if layer.calibrated]
    seen = normalised(model, batches)
    for path in calibrated:
        layer: Any = model.get_submodule(path)
        mean, variance, calls = seen[id(layer.running_mean)]
        # Statistics of a layer that is called several times depend on themselves.
        if calls == len(batches):
            scale = variance + layer.eps
            shift = ((mean - layer.running_mean) / scale.sqrt()).abs().max().item()
            ratio = ((variance - layer.running_var) / scale).abs().max().item()
            assert shift < 1e-3, f"the mean of {path!r} is off by {shift:.1e} standard deviations"
            assert ratio < 1e-3, f"the variance of {path!r} is off by {ratio:.1e} of itself"
    moved = {f"{path}.{name}".lstrip(".") for path in calibrated for name in ("running_mean", "running_var")}
    now = model.state_dict()
    for name, value in subject.model.state_dict().items():
        assert name in moved or torch.equal(value, now[name]), f"{name} changed"
    return Outcome(
        len(calibrated),
        len(report.layers),
        _reasons(layer.reason for layer in report.layers if not layer.calibrated),
    )


def watch(subject: Subject) -> Outcome:
    """A watched training step gives the same bits as one that nobody watches, and a record of each layer."""
    model = copy.deepcopy(subject.model)
    hooks = hooks_of(model)
    with normwise.watch(model, every=1) as recorder:
        step = train(model, subject.other)
    assert hooks_of(model) == hooks, "hooks stay behind"
    assert_same_step(subject.step, step)
    (point,) = recorder.points
    return Outcome(len(point.layers), len(_layers(model)))


#: By the name that the page and the tests have for it.
OPERATIONS: dict[str, Callable[[Subject], Outcome]] = {
    "accelerate": accelerate,
    "fold": fold,
    "insert": insert,
    "convert to batch": convert_to_batch,
    "convert to torch": convert_to_torch,
    "convert to group": convert_to_group,
    "convert to frozen": convert_to_frozen,
    "remove_biases": biases,
    "freeze": freeze,
    "calibrate": calibrate,
    "watch": watch,
}


def _outcome(changes: tuple[Change, ...]) -> Outcome:
    left = _reasons(change.detail for change in changes if not change.changed)
    return Outcome(sum(change.changed for change in changes), len(changes), left)


def _reasons(said: Iterable[str]) -> Counter[str]:
    """Return how often each reason is given, without the names and sizes of layers."""
    general = (re.sub(r"\w* ?'[^']*'", "…", reason) for reason in said if reason)
    return Counter(
        re.sub(r"^of [\w.]+: ", "", re.sub(r"\(\d+(, \d+)+\)", "(…)", reason)) for reason in general
    )


def _layers(model: nn.Module) -> list[nn.Module]:
    return [kind.layer for kind in batch_norms(model).values()]


def _convert(subject: Subject, to: str) -> tuple[nn.Module, Conversion]:
    with untouched(subject.model, subject.example):
        new, report = normwise.convert(subject.model, to, example=subject.example)
    assert str(report)
    return new, report


def _assert_same(subject: Subject, report: Conversion, new: nn.Module) -> None:
    """Assert equal evaluation, unless other norms became BN, and equal training, unless constants now learn."""
    modules = list(subject.model.modules())
    if report.alters:
        assert any(isinstance(module, _OTHER_NORMS) for module in modules)
        _assert_trains(new, subject)
        return
    assert_same_evaluation(subject, new)
    constants = any(kind.family == "frozen" for kind in batch_norms(subject.model).values())
    if any(change.changed for change in report.changes) and not constants:
        assert_same_training(subject, new)


def _assert_trains(model: nn.Module, subject: Subject) -> None:
    step = train_copy(model, subject.other)
    tensors = [output for output in step.outputs if output.is_floating_point()]
    assert step.gradients
    assert all(tensor.isfinite().all() for tensor in [*tensors, *step.gradients.values()])


def _assert_statistics_stay(model: nn.Module, subject: Subject) -> None:
    before, after = dict(model.named_buffers()), train_copy(model, subject.other).buffers
    for path in batch_norms(model):
        for name in (f"{path}.{own}".lstrip(".") for own in ("running_mean", "running_var")):
            assert torch.equal(before[name], after[name]), f"training moved {name}"
