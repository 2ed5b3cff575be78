"""Statistics of new norms: from data, which keep the function, and without."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from normwise.errors import ArgumentError, ModelError
from tests.surgery.insert.networks import Net, X, insert_norms, inserted_paths, norms_of, plain_net, state_of


@pytest.mark.parametrize("after_activation", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "build", [plain_net, lambda: Net(lambda net, x: net.last(net.relu(net.a(x))))], ids=["sequence", "own"]
)
def test_with_data_the_function_stays_on_all_inputs(build: Any, after_activation: bool) -> None:
    model = build()
    new, report = insert_norms(model, X, data=X.split(5), after_activation=after_activation)
    other = 7 * torch.randn_like(X)
    torch.testing.assert_close(new.eval()(other), model.eval()(other), rtol=1e-9, atol=1e-9)
    assert report.output_error < 1e-9
    assert "evaluation stays, but for rounding" in str(report)
    assert inserted_paths(report)


def test_statistics_are_those_of_all_batches_and_the_last_counts_by_its_size() -> None:
    model = plain_net()
    new, report = insert_norms(model, X, data=[X[:9], X[9:15], X[15:]], after_activation=True)
    seen = model[:2](X)
    norm = new[2]
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2)))
    torch.testing.assert_close(norm.running_var, seen.var((0, 2)))
    torch.testing.assert_close(norm.weight, (seen.var((0, 2)) + norm.eps).sqrt())
    torch.testing.assert_close(norm.bias, seen.mean((0, 2)))
    assert report.values == 16


def test_training_begins_where_the_old_model_was_if_a_batch_is_all_data() -> None:
    model = plain_net()
    new, _ = insert_norms(model, X, data=X)
    # Batches are normalised with the biased variance, running ones are unbiased: 1/32 of the variance at the last.
    torch.testing.assert_close(new.train()(X), model(X), rtol=0.05, atol=0.05)


def test_statistics_are_those_of_evaluation_and_nothing_of_the_model_moves() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Conv1d(4, 4, 1), nn.ReLU(), nn.Conv1d(4, 2, 1)
    ).double()
    state = state_of(model)
    new, _ = insert_norms(model, X, data=X.split(4), after_activation=True)
    torch.testing.assert_close(state_of(model), state, rtol=0, atol=0)
    torch.testing.assert_close(new[4].running_mean, model.eval()[:4](X).mean((0, 2)))


def test_without_data_layers_are_new_and_the_report_says_how_far_outputs_move() -> None:
    model = plain_net()
    new, report = insert_norms(model, X)
    for norm in norms_of(new):
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert torch.equal(norm.bias, torch.zeros_like(norm.bias))
    expected, got = model.eval()(X), new.eval()(X)
    assert report.output_error == pytest.approx(((got - expected).abs().max() / expected.abs().max()).item())
    model.train()
    got = new.train()(X)
    assert report.training_error == pytest.approx(
        ((got - expected).abs().max() / expected.abs().max()).item()
    )
    assert report.training_error > 0.1
    assert report.values == 0
    assert "train the model before it is used" in str(report)


def test_an_example_with_one_value_a_channel_tells_nothing_of_training() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    _, report = insert_norms(model, torch.ones(1, 4))
    assert math.isnan(report.training_error)
    assert "as in training" not in str(report)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], ArgumentError, "0 values a channel"),
        ([X[:1, :, :5]], ArgumentError, "1 values a channel behind '2"),
        ([X, X[:, :3]], ModelError, "fails on batch 1"),
        ([X, X * torch.nan], ModelError, "not finite"),
    ],
    ids=["none", "one value", "wrong", "not finite"],
)
def test_wrong_data_are_an_error_and_nothing_is_changed(
    inplace: bool, data: Any, error: type[Exception], message: str
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ReLU(), nn.Conv1d(8, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
                          nn.Flatten(), nn.Linear(6, 2)).double()  # fmt: skip
    state, children = state_of(model), dict(model.named_modules())
    with pytest.raises(error, match=message):
        insert_norms(model, X, data=data, inplace=inplace)
    torch.testing.assert_close(state_of(model), state, rtol=0, atol=0)
    assert dict(model.named_modules()) == children
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_data_are_left_alone_by_a_forward_that_changes_its_input() -> None:
    data, example = [X.clone()], X.clone()
    insert_norms(Net(lambda net, x: net.last(net.relu(net.a(x.mul_(2))))), example, data=data)
    assert torch.equal(data[0], X)
    assert torch.equal(example, X)


def test_data_that_raise_leave_no_hooks_behind() -> None:
    def broken() -> Any:
        yield X
        raise OSError("disk")

    model = plain_net()
    with pytest.raises(OSError, match="disk"):
        insert_norms(model, X, data=broken())
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
