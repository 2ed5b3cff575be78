"""Layers that are not folded, and the reasons that are given."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import normwise
from normwise.errors import ModelError
from tests.surgery.fold.folding import Calling, changed, fold_and_compare, randomised


class _Scaling(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class _Branching(nn.Module):
    """Its way depends on the values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) if x.sum() > 1e9 else self.norm(2 * self.conv(x))


def _hooked() -> nn.Module:
    model = Calling(lambda m, x: m.norm(m.conv(x)))
    model.norm.register_forward_hook(lambda *_: None)
    return model


def _watched() -> nn.Module:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1)), nn.BatchNorm2d(4))
    model[0].register_forward_hook(lambda *_: None)
    return model


def _spectral() -> nn.Module:
    model = Calling(lambda m, x: m.norm(m.conv(x)))
    parametrizations.spectral_norm(model.conv)
    return model


def _tied() -> nn.Module:
    model = Calling(lambda m, x: m.norm(m.conv(x)) + m.other(x))
    model.other = nn.Conv2d(3, 4, 1)
    model.other.weight = model.conv.weight
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        # Where torch.fx's own fusion is silently wrong: the convolution is called elsewhere, too.
        (Calling(lambda m, x: m.norm(m.conv(x)) + m.conv(2 * x)), "Conv2d 'conv' is called 2 times"),
        (Calling(lambda m, x: m.norm(m.norm(m.conv(x)))), "it is called 2 times"),
        (Calling(lambda m, x: m.norm(y := m.conv(x)) + y), "the output of Conv2d 'conv' is used in 2 places"),
        (Calling(lambda m, x: m.norm(torch.relu(m.conv(x)))), "before it, relu is not a convolution"),
        (Calling(lambda m, x: m.conv(x)), "the example does not call it"),
        (Calling(lambda m, x: m.norm(m.conv(x)), _Scaling(4)), "_Scaling may do anything in its forward"),
        (Calling(lambda m, x: m.norm(m.conv(x)), nn.BatchNorm2d(4, track_running_stats=False)),
         "it keeps no running statistics"),
        (_hooked(), "it has hooks"),
        (_spectral(), "computed by a parametrization"),
        (_tied(), "Conv2d 'conv' shares its weight or bias with another layer"),
        (_watched(), "a hook of a module around it or Conv2d '0.0' sees what is between them"),
        (Calling(lambda m, x: m.norm(m.conv(x)) + F.conv2d(x, m.conv.weight)),
         "the weight of Conv2d 'conv' is used outside of it, too"),
        (Calling(lambda m, x: m.norm(m.conv(x)) + m.norm.weight.sum()),
         "its parameters are used outside of it, too"),
        (_Branching(), "of the model: its forward can't be traced"),
    ],
    ids=lambda value: "" if isinstance(value, nn.Module) else value,
)  # fmt: skip
def test_what_is_not_folded_says_why(model: nn.Module, reason: str) -> None:
    _, report = fold_and_compare(randomised(model), torch.randn(2, 3, 4, 4).double())
    assert changed(report) == [False]
    assert reason in report.changes[0].detail
    assert "0 of 1 folded" in str(report)


class _Listing(nn.Module):
    """A module that can't be followed, with a list of layers that can."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU()) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x) if x.isfinite().all() else x
        return x


def test_what_can_be_followed_of_a_model_that_cannot_is_folded() -> None:
    _, report = fold_and_compare(randomised(_Listing()), torch.randn(2, 3, 4, 4).double())
    assert changed(report) == [True, True]


def test_weights_that_would_overflow_are_left() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1)).half().eval()
    nn.init.constant_(model.get_parameter("0.weight"), 1e4)
    nn.init.constant_(model.get_parameter("1.weight"), 10)
    model.get_submodule("1").get_buffer("running_mean").fill_(1e4)
    _, report = normwise.fold(model, torch.ones(2, 1, 2, 2).half(), timed=False)
    assert report.changes[0].detail == "the weights of Conv2d '0' would be too large for torch.float16"


def test_a_lazy_layer_is_said() -> None:
    model = nn.Sequential(nn.LazyConv2d(3, 1), nn.BatchNorm2d(3)).eval()
    with pytest.raises(ModelError, match="LazyConv2d '0' has no weights yet; call the model on a batch"):
        normwise.fold(model, torch.randn(2, 3, 4, 4))


def test_a_quantised_convolution_is_left() -> None:
    # Pain 23, https://github.com/Xilinx/brevitas/issues/388: accuracy dropped.
    config = torch.ao.quantization.get_default_qat_qconfig("onednn")
    model = nn.Sequential(torch.ao.nn.qat.Conv2d(3, 4, 1, qconfig=config), nn.BatchNorm2d(4)).eval()
    model(x := torch.randn(2, 3, 4, 4))
    _, report = normwise.fold(model, x, timed=False)
    assert report.changes[0].detail.startswith("Conv2d '0' is quantised; fold before quantising")


@pytest.mark.parametrize("value", [float("nan"), -0.5])
def test_statistics_that_no_data_have_are_not_folded(value: float) -> None:
    model = randomised(Calling(lambda m, x: m.norm(m.conv(x))))
    model.get_submodule("norm").get_buffer("running_var")[2] = value
    _, report = normwise.fold(model, torch.randn(2, 3, 4, 4).double())
    expected = f"and the variance {value:g}; calibrate the model first"
    assert report.changes[0].detail.startswith("its running statistics of channel 2 are the mean ")
    assert report.changes[0].detail.endswith(expected)
    assert report.output_error == 0


def test_a_layer_that_still_trains_is_left() -> None:
    model = randomised(nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)))
    model.train()
    _, report = normwise.fold(model, torch.randn(2, 3, 5, 5).double(), timed=False)
    assert report.changes[0].detail == "it is still training; call model.eval() first"
    assert model.training


def test_a_call_of_a_function_is_reported() -> None:
    def way(m: Any, x: Tensor) -> Tensor:
        return F.batch_norm(m.norm(m.conv(x)), m.norm.running_mean, m.norm.running_var)

    _, report = fold_and_compare(randomised(Calling(way)), torch.randn(2, 3, 4, 4).double())
    assert [change.kind for change in report.changes] == ["BatchNorm2d", "batch_norm"]
    assert report.changes[1].detail == "it is a function, and layers are folded: call a BN layer in its place"
