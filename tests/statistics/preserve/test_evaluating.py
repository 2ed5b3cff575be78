"""Evaluation for a while, and then each module's own mode again."""

from itertools import product

import pytest
import torch
from torch import nn

from normwise.statistics import evaluating


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)))


def test_all_modules_are_in_evaluation_inside() -> None:
    model = _model()
    with evaluating(model) as evaluated:
        assert evaluated is model
        assert not any(module.training for module in model.modules())


# The model itself and the four modules in it, in every mixture: a parent's mode says nothing of its children's.
@pytest.mark.parametrize(
    "modes", list(product([True, False], repeat=5)), ids=lambda modes: "".join("ET"[m] for m in modes)
)
def test_modes_come_back(modes: tuple[bool, ...]) -> None:
    model = _model()
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    with evaluating(model):
        pass
    assert tuple(module.training for module in model.modules()) == modes


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_they_come_back_after_an_exception(exception: type[BaseException]) -> None:
    model = _model()
    model[1].eval()
    with pytest.raises(exception), evaluating(model):
        raise exception
    assert [module.training for module in model.modules()] == [True, True, False, False, False]


def test_they_come_back_from_a_change_inside() -> None:
    model = _model().eval()
    with evaluating(model):
        model.train()
    assert not any(module.training for module in model.modules())


def test_a_shared_module_has_one_mode() -> None:
    shared = nn.Dropout()
    inner = nn.Sequential(shared)
    shared.eval()
    model = nn.Sequential(shared, inner)
    with evaluating(model):
        pass
    # Its second parent, whose mode comes back later, must not bring its own to it.
    assert (model.training, shared.training, inner.training) == (True, False, True)


def test_dropout_passes_everything_inside() -> None:
    with evaluating(nn.Sequential(nn.Dropout())) as model:
        assert torch.equal(model(torch.ones(100)), torch.ones(100))
