"""Surgery works on a copy, or on the model itself, which is as it was when anything fails."""

import threading

import pytest
import torch
from torch import nn

from normwise.errors import ModelError
from normwise.surgery.core.working_copy import working_copy

CALL = ((torch.ones(4, 2),), {})


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()))


def _change(model: nn.Module) -> None:
    first = model.get_submodule("0")
    first.register_parameter("bias", None)
    first.register_buffer("extra", torch.ones(1))
    first.flag = True  # pyright: ignore[reportArgumentType] (any attribute will do)
    model.get_submodule("1").register_module("0", nn.Identity())
    model.get_submodule("1").register_module("2", nn.Tanh())


def test_a_copy_is_changed_and_the_model_is_not() -> None:
    model, x = _model(), torch.randn(4, 2)
    said, expected = repr(model), model.eval()(x)
    with working_copy(model, False, CALL) as (old, new):
        assert old is model
        _change(new)
    assert repr(model) == said
    assert torch.equal(model(x), expected)
    assert not {id(p) for p in new.parameters()} & {id(p) for p in model.parameters()}


def test_in_place_the_old_one_stays_to_compare_with() -> None:
    model, x = _model(), torch.randn(4, 2)
    expected = model.eval()(x)
    with working_copy(model, True, CALL) as (old, new):
        assert new is model
        _change(new)
        assert torch.equal(old(x), expected)
        assert isinstance(model.get_submodule("1.0"), nn.Identity)


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_in_place_an_exception_undoes_all(exception: type[BaseException]) -> None:
    model = _model()
    modules, state = (
        dict(model.named_modules()),
        {k: id(v) for k, v in model.state_dict(keep_vars=True).items()},
    )

    def fail(new: nn.Module) -> None:
        _change(new)
        raise exception

    with pytest.raises(exception), working_copy(model, True, CALL) as (_, new):
        fail(new)
    assert dict(model.named_modules()) == modules
    assert {k: id(v) for k, v in model.state_dict(keep_vars=True).items()} == state
    assert not hasattr(model[0], "flag")


def test_a_model_that_cannot_be_copied_is_refused_with_the_way_out() -> None:
    model = _model()
    model.lock = threading.Lock()  # pyright: ignore[reportArgumentType] (any attribute will do)
    with (
        pytest.raises(ModelError, match=r"can't be copied: .* Pass inplace=True"),
        working_copy(model, False, CALL),
    ):
        pass
