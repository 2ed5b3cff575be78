"""The folded model, the model that was given, and the report."""

import pytest
import torch
from torch import nn

import normwise
from normwise.errors import ArgumentError, ModelError
from normwise.records import Folding, from_plain, to_plain
from tests.surgery.fold.folding import Calling, randomised


def test_parameters_stay_of_their_kind() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 2, bias=False), nn.BatchNorm2d(4)).bfloat16().eval()
    weight = model.get_parameter("0.weight").contiguous(memory_format=torch.channels_last)
    model.get_submodule("0").register_parameter("weight", nn.Parameter(weight, requires_grad=False))
    folded, _ = normwise.fold(model, torch.randn(2, 3, 5, 5).bfloat16(), timed=False)
    weight, bias = folded.get_parameter("0.weight"), folded.get_parameter("0.bias")
    assert weight.dtype == bias.dtype == torch.bfloat16
    assert (weight.requires_grad, bias.requires_grad) == (False, True)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert set(folded.state_dict()) == {"0.weight", "0.bias"}


def test_the_example_is_left_as_it_is() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)).eval()
    x = torch.randn(2, 3, 5, 5)
    before = x.clone()
    normwise.fold(model, x)
    assert torch.equal(x, before)


def test_layers_folded_in_place_are_the_models_own() -> None:
    model = randomised(nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.ReLU()))
    x = torch.randn(2, 3, 5, 5).double()
    expected, conv = model(x), model.get_submodule("0")
    folded, _ = normwise.fold(model, x, inplace=True, timed=False)
    assert folded is model
    assert model.get_submodule("0") is conv
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_difference_beyond_the_tolerance_is_no_model(inplace: bool) -> None:
    # The weight is used in a way that no graph shows.
    model = randomised(Calling(lambda m, x: m.norm(m.conv(x)) + next(m.parameters()).detach().sum().item()))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ModelError, match=r"outputs differ from the model's by .* nothing is changed"):
        normwise.fold(model, torch.randn(2, 3, 4, 4).double(), inplace=inplace)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert isinstance(model.get_submodule("norm"), nn.BatchNorm2d)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_a_tolerance_is_a_positive_number(tolerance: float) -> None:
    with pytest.raises(ArgumentError, match="expected a positive number as tolerance"):
        normwise.fold(nn.Linear(2, 2), torch.randn(1, 2), tolerance=tolerance)


def test_a_model_that_fails_on_the_example_is_said() -> None:
    with pytest.raises(ModelError, match="the model fails on the example"):
        normwise.fold(nn.Linear(2, 2).eval(), torch.randn(1, 3))


def test_the_report_says_how_much_faster_it_is() -> None:
    model = randomised(nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)))
    _, report = normwise.fold(model, torch.randn(2, 3, 5, 5).double())
    assert report.speedup_low <= report.speedup <= report.speedup_high
    assert f"evaluates the example {report.speedup:.2f} times as fast as before" in str(report)
    assert from_plain(Folding, to_plain(report)) == report
