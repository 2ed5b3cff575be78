"""Passes that count within the context, and the moment when statistics move."""

import copy

import pytest
import torch
from torch import nn

import normwise
from normwise.surgery import freeze
from tests.statistics.accumulate.movement import assert_moved_as, statistics_of


def test_inside_statistics_are_those_of_before() -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(3)), torch.randn(8, 3) + 1
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = copy.deepcopy(model).eval()(x)
    with normwise.accumulate(model):
        model(x)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        with normwise.statistics.evaluating(model):
            assert torch.equal(model(x), expected)
        with normwise.statistics.using_batch_statistics(model):
            model(x + 100)
    torch.testing.assert_close(model.get_buffer("0.running_mean"), 0.1 * x.mean(0))
    assert model.get_buffer("0.num_batches_tracked") == 1


def test_layers_that_are_frozen_evaluated_or_never_called_keep_their_statistics() -> None:
    model = nn.ModuleDict(
        {name: nn.BatchNorm1d(3) for name in ("used", "frozen", "evaluated", "uncalled", "untracked")}
    )
    model["untracked"] = nn.BatchNorm1d(3, track_running_stats=False)
    freeze(model["frozen"])
    model["evaluated"].eval()
    before = statistics_of(model)
    with normwise.accumulate(model):
        for name in ("used", "frozen", "evaluated", "untracked"):
            model[name](torch.randn(4, 3))
    moved = {name for name, value in statistics_of(model).items() if not torch.equal(before[name], value)}
    assert {name.partition(".")[0] for name in moved} == {"used"}


@pytest.mark.parametrize("wrapped", [False, True])
def test_with_an_optimizer_each_of_its_steps_ends_a_batch(wrapped: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 3), normwise.nn.BatchNorm1d(3))
    plain, x = copy.deepcopy(model), torch.randn(40, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)

    class Wrapper:
        """As Accelerate and Lightning have it."""

        def __init__(self) -> None:
            self.optimizer = optimizer

    with normwise.accumulate(model, optimizer=Wrapper() if wrapped else optimizer):  # pyright: ignore[reportArgumentType]
        for number, part in enumerate(x.chunk(10), 1):
            model(part).sum().backward()
            if number % 4 == 0:
                optimizer.step()
                assert model.get_buffer("1.num_batches_tracked") == number // 4
    for window in (x[:16], x[16:32], x[32:]):  # the last without a step
        plain(window)
    assert_moved_as(model, plain)
    optimizer.step()
    assert model.get_buffer("1.num_batches_tracked") == 3


def test_step_moves_the_statistics_at_once() -> None:
    layer = nn.BatchNorm1d(3)
    with normwise.accumulate(layer) as accumulation:
        layer(torch.randn(4, 3))
        accumulation.step()
        assert layer.num_batches_tracked == 1
        accumulation.step()
        assert layer.num_batches_tracked == 1
    assert layer.num_batches_tracked == 1


def test_a_copy_made_inside_is_a_plain_model() -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(3)), torch.randn(4, 3)
    with normwise.accumulate(model):
        model(x)
        twin = copy.deepcopy(model)
        twin(x)
    assert twin.get_buffer("0.num_batches_tracked") == 1
    assert model.get_buffer("0.num_batches_tracked") == 1
    torch.testing.assert_close(model.get_buffer("0.running_mean"), twin.get_buffer("0.running_mean"))
