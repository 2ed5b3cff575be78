"""With ``inplace``, the model itself is changed, or, when anything fails, nothing of it."""

from typing import Any

import pytest
from torch import nn

import normwise
from normwise.errors import ModelError
from normwise.surgery import remove_biases


class _Interrupted:
    """A forward pre-hook that interrupts a certain call."""

    def __init__(self, call: int) -> None:
        self.calls, self.call = 0, call

    def __call__(self, *_: Any) -> None:
        # Not the copies' number: a copy of the hook would have its own.
        self.calls += 1
        if self.calls == self.call:
            raise KeyboardInterrupt

    def __deepcopy__(self, memo: Any) -> "_Interrupted":
        return self


def _interrupted(model: nn.Module, call: int) -> _Interrupted:
    hook = _Interrupted(call)
    next(module for module in model.modules() if isinstance(module, nn.Conv2d)).register_forward_pre_hook(
        hook
    )
    return hook


def test_the_model_itself_is_changed(operation: Any, subject: Any, outputs_of: Any) -> None:
    model, example = subject.model(), subject.example()
    options = {} if operation.in_place else {"inplace": True}
    new, _ = operation.call(model, example, **options)
    assert new is model
    if operation.keeps_outputs:
        expected = outputs_of(subject.model(), example)
        assert (outputs_of(model, example) - expected).abs().max() <= 2e-4 * expected.abs().max()


def test_an_interruption_at_any_call_undoes_all(operation: Any, subject: Any, state_of: Any) -> None:
    if subject.name not in ("plain", "counts in attributes", "takes keywords", "ties"):
        return
    options = {} if operation.in_place else {"inplace": True}
    model = subject.model()
    counted = _interrupted(model, 0)
    operation.call(model, subject.example(), **options)
    for call in sorted({1, 2, counted.calls // 2, counted.calls - 1, counted.calls} - {0, -1}):
        model = subject.model()
        _interrupted(model, call)
        before = state_of(model)
        try:
            operation.call(model, subject.example(), **options)
        except KeyboardInterrupt:
            assert state_of(model) == before, call


@pytest.mark.parametrize("name", ["fold", "convert", "insert", "remove_biases", "accelerate"])
def test_an_unexpected_failure_is_one_error_and_undoes_all(name: str, network: Any, state_of: Any) -> None:
    """The last pass through the model fails, as a bug of ours would."""
    calls: dict[str, Any] = {
        "fold": lambda *a: normwise.fold(*a, inplace=True, timed=False),
        "convert": lambda model, x: normwise.convert(model, "torch", example=x, inplace=True),
        "insert": lambda *a: normwise.insert(*a, inplace=True),
        "remove_biases": lambda *a: remove_biases(*a, inplace=True),
        "accelerate": lambda *a: normwise.accelerate(*a, inplace=True),
    }

    class Fails(_Interrupted):
        def __call__(self, *_: Any) -> None:
            self.calls += 1
            if self.call and self.calls >= self.call:
                raise KeyError("no such thing")

    model = network.model()
    counted = Fails(0)
    model.conv1.register_forward_pre_hook(counted)
    calls[name](model, network.example())
    model = network.model()
    model.conv1.register_forward_pre_hook(Fails(counted.calls))
    before = state_of(model)
    with pytest.raises(ModelError, match="no such thing"):
        calls[name](model, network.example())
    assert state_of(model) == before
