"""With ``inplace``, the model itself is changed, or, when anything fails, nothing of it."""

from typing import Any

import pytest
from torch import nn

import normwise
from normwise.errors import ModelError
from normwise.surgery import remove_biases


def _failing(model: nn.Module, call: int, error: BaseException) -> list[None]:
    """Let a forward pre-hook raise at that call and all later ones of a convolution; the list counts them."""
    calls: list[None] = []

    def hook(*_: Any) -> None:
        # A closure, which copies of the model share, and which nobody restores.
        calls.append(None)
        if call and len(calls) >= call:
            raise error

    next(module for module in model.modules() if isinstance(module, nn.Conv2d)).register_forward_pre_hook(
        hook
    )
    return calls


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
    counted = _failing(model, 0, KeyboardInterrupt())
    operation.call(model, subject.example(), **options)
    total = len(counted)
    assert total or operation.name in ("freeze", "convert without example")
    for call in sorted({1, 2, total // 2, total - 1, total} & set(range(1, total + 1))):
        model = subject.model()
        _failing(model, call, KeyboardInterrupt())
        before = state_of(model)
        with pytest.raises(KeyboardInterrupt):
            operation.call(model, subject.example(), **options)
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

    model = network.model()
    counted = _failing(model, 0, KeyError())
    calls[name](model, network.example())
    model = network.model()
    _failing(model, len(counted), KeyError("no such thing"))
    before = state_of(model)
    with pytest.raises(ModelError, match="no such thing"):
        calls[name](model, network.example())
    assert state_of(model) == before
