"""Folding keeps what a model computes, and leaves alone what it can't fold, saying why."""

import copy
import pickle
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import normwise
from normwise.errors import ArgumentError, ModelError
from normwise.records import Folding, from_plain, to_plain


def _random(model: nn.Module) -> nn.Module:
    """Statistics, γ and β that matter; in evaluation."""
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
            layer.get_buffer("running_mean").normal_()
            layer.get_buffer("running_var").uniform_(0.5, 2)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 2)
                nn.init.normal_(layer.bias)
    return model.double().eval()


def _fold(model: nn.Module, x: Tensor, **options: Any) -> tuple[nn.Module, Folding]:
    """Fold, and see for oneself that the outputs are the same and the model is as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(x.clone())
        folded, report = normwise.fold(model, x, timed=False, **options)
        torch.testing.assert_close(folded(x.clone()), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    return folded, report


def _changed(report: Folding) -> list[bool]:
    return [change.changed for change in report.changes]


def _right_behind_a_layer(model: nn.Module) -> set[str]:
    """Paths of the BN layers that are in a sequence right behind a linear layer, both called once."""
    calls = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    found = set()
    sequences = [("", model), *((f"{name}.", child) for name, child in model.named_children())]
    for prefix, sequence in sequences:
        if isinstance(sequence, nn.Sequential):
            for (_, first), (name, second) in pairwise(sequence.named_children()):
                if (
                    isinstance(first, (nn.Linear, nn.modules.conv._ConvNd))
                    and isinstance(second, nn.modules.batchnorm._BatchNorm)
                    and calls[first] == calls[second] == 1
                ):
                    found.add(prefix + name)
    return found


@given(st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_networks_compute_the_same(draw_network, data: st.DataObject) -> None:
    model, x = draw_network(data, dtypes=[torch.float64])
    folded, report = _fold(model, x)
    assert _right_behind_a_layer(model) <= {change.path for change in report.changes if change.changed}
    for change in report.changes:
        layer = folded.get_submodule(change.path)
        assert isinstance(layer, nn.modules.batchnorm._BatchNorm) != change.changed
        assert change.detail


@given(st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_networks_in_float32_too(draw_network, data: st.DataObject) -> None:
    model, x = draw_network(data, dtypes=[torch.float32])
    folded, report = normwise.fold(model, x, timed=False)
    assert report.output_error <= report.tolerance
    with torch.no_grad():
        expected = model(x.clone())
        torch.testing.assert_close(
            folded(x.clone()), expected, rtol=0, atol=1e-3 * expected.abs().max().item()
        )


_CONVS: list[tuple[Callable[[], nn.Module], type[nn.Module], tuple[int, ...]]] = [
    (lambda: nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d, (3, 4, 7)),
    (lambda: nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False), nn.BatchNorm2d, (3, 4, 7, 6)),
    (lambda: nn.Conv3d(4, 6, 2, dilation=2), nn.BatchNorm3d, (3, 4, 5, 4, 4)),
    (lambda: nn.ConvTranspose1d(4, 6, 3, groups=2), nn.BatchNorm1d, (3, 4, 7)),
    # Grouped, where torch's own fusion fails: pain 23, https://github.com/pytorch/pytorch/issues/180995
    (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d, (3, 4, 5, 4)),
    (lambda: nn.ConvTranspose3d(4, 6, 2, padding=1, bias=False), nn.BatchNorm3d, (3, 4, 3, 4, 4)),
    (lambda: nn.Linear(4, 6), nn.BatchNorm1d, (3, 4)),
    (lambda: nn.Linear(4, 6, bias=False), nn.BatchNorm1d, (3, 4)),
]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("make", "norm", "shape"), _CONVS)
def test_behind_every_kind_of_layer(
    make: Callable[[], nn.Module], norm: type[nn.Module], shape: tuple[int, ...], affine: bool
) -> None:
    model = _random(nn.Sequential(make(), norm(6, affine=affine)))
    folded, report = _fold(model, torch.randn(shape).double())
    kind = type(model.get_submodule("0")).__name__
    assert str(report.changes[0]) == f"1 ({norm.__name__}): folded into {kind} '0' before it"
    assert type(folded.get_submodule("1")) is nn.Identity


@pytest.mark.parametrize(
    ("layer", "folds"),
    [
        (nn.Conv2d(4, 6, 3), True),
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), True),
        (nn.Conv2d(4, 6, 3, padding=1), False),
        (nn.Conv2d(4, 6, 3, padding="same"), False),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), True),
        (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), True),
        (nn.ConvTranspose2d(4, 6, 3), False),
    ],
    ids=str,
)
def test_before_a_convolution_where_its_padding_allows_it(layer: nn.Module, folds: bool) -> None:
    model = _random(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), copy.deepcopy(layer)))
    folded, report = _fold(model, torch.randn(3, 4, 6, 6).double())
    assert _changed(report) == [folds]
    assert (type(folded.get_submodule("1")) is nn.Identity) == folds


def test_with_zeros_for_padding_a_scale_alone_can_be_folded() -> None:
    model = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 6, 3, padding=1))
    model.get_submodule("1").get_buffer("running_var").fill_(3)
    _, report = _fold(model.double().eval(), torch.randn(3, 4, 6, 6).double())
    assert _changed(report) == [True]


def test_before_a_linear_layer() -> None:
    model = _random(nn.Sequential(nn.Tanh(), nn.BatchNorm1d(4), nn.Linear(4, 6)))
    _, report = _fold(model, torch.randn(3, 4).double())
    assert report.changes[0].detail == "folded into Linear '2' behind it"


def test_a_chain_goes_into_one_convolution() -> None:
    model = _random(nn.Sequential(nn.Conv1d(2, 3, 3), *[nn.BatchNorm1d(3) for _ in range(3)]))
    folded, report = _fold(model, torch.randn(3, 2, 6).double())
    assert _changed(report) == [True, True, True]
    assert sum(type(layer) is nn.Identity for layer in folded.modules()) == 3


def test_a_convolution_goes_before_one_behind() -> None:
    model = _random(nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Conv1d(3, 2, 3)))
    _, report = _fold(model, torch.randn(3, 2, 6).double())
    assert report.changes[0].detail == "folded into Conv1d '0' before it"


def test_a_chain_goes_into_the_convolution_behind_it() -> None:
    model = _random(nn.Sequential(nn.Tanh(), *[nn.BatchNorm1d(2) for _ in range(3)], nn.Conv1d(2, 3, 3)))
    _, report = _fold(model, torch.randn(3, 2, 6).double())
    assert {change.detail for change in report.changes} == {"folded into Conv1d '4' behind it"}


class _OverTime(nn.Module):
    """A linear layer over ``(N, L, C)``."""

    def __init__(self, channels: int, turned: bool) -> None:
        super().__init__()
        self.linear, self.norm, self.turned = nn.Linear(4, 6), nn.BatchNorm1d(channels), turned

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return self.norm(y.transpose(1, 2)) if self.turned else self.norm(y)


@pytest.mark.parametrize(
    ("channels", "turned", "folds"), [(6, True, True), (5, False, False), (6, False, False)]
)
def test_a_linear_layer_on_three_axes_only_where_its_channels_are_the_norms(
    channels: int, turned: bool, folds: bool
) -> None:
    # Pain 23: torch.fx's own fusion is silently wrong here.
    length = 6 if (channels, turned) == (6, False) else 5
    _, report = _fold(_random(_OverTime(channels, turned)), torch.randn(3, length, 4).double())
    assert _changed(report) == [folds]
    assert folds or "another axis" in report.changes[0].detail


class _Flattened(nn.Module):
    """A linear layer over ``(N, L, C)`` and a norm over ``(N · L, C)``."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.linear, self.norm, self.turned = nn.Linear(4, 6), nn.BatchNorm1d(6), turned

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        y = y.transpose(1, 2) if self.turned else y
        return self.norm(y.reshape(-1, y.shape[-1])).reshape(y.shape)


@pytest.mark.parametrize("turned", [False, True])
def test_a_linear_layer_whose_positions_are_flattened(turned: bool) -> None:
    model = _random(_Flattened(turned))
    folded, report = _fold(model, torch.randn(3, 6, 4).double())
    assert _changed(report) == [not turned]
    if not turned:
        other = torch.randn(5, 2, 4).double()
        torch.testing.assert_close(folded(other), model(other))


def test_a_convolution_of_one_sample_has_its_channels_elsewhere() -> None:
    # (C, L) is no batch for Conv1d, and one for BatchNorm1d, over L.
    model = _random(nn.Sequential(nn.Conv1d(3, 5, 1), nn.BatchNorm1d(5)))
    _, report = _fold(model, torch.randn(3, 5).double())
    assert "another axis" in report.changes[0].detail


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), normwise.nn.BatchNorm2d(3, activation="relu")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.norm(self.conv(x), residual=x, mask=mask)


@pytest.mark.parametrize("masked", [False, True])
def test_what_our_layers_do_besides_stays(masked: bool) -> None:
    model, x = _random(_Residual()), torch.randn(2, 3, 4, 5).double()
    example = {"x": x} | ({"mask": torch.rand(2, 4, 5) < 0.5} if masked else {})
    folded, report = normwise.fold(model, example, timed=False)
    assert report.changes[0].detail.endswith("; ActivationAfterFold(activation='relu') stays in its place")
    with torch.no_grad():
        torch.testing.assert_close(folded(**example), model(**example))
    assert "activation='relu'" in repr(pickle.loads(pickle.dumps(folded)))


class FrozenBatchNorm2d(nn.Module):
    """As vision libraries have it."""

    def __init__(self, channels: int, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels, dtype=torch.float64) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, mean, var = (
            value.reshape(-1, 1, 1) for value in self._buffers.values() if value is not None
        )
        return self.factor * (x - mean) * (var + 1e-5).rsqrt() * weight + bias


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_frozen_layers_of_others_if_they_only_scale_and_shift(factor: float) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 2), FrozenBatchNorm2d(4, factor)).double().eval()
    _, report = _fold(model, torch.randn(2, 3, 5, 5).double())
    assert _changed(report) == [factor == 1.0]


@pytest.mark.parametrize("kind", ["frozen", "synchronised", "subclass without a forward of its own"])
def test_other_kinds_of_batch_norm(kind: str) -> None:
    class Named(nn.BatchNorm2d):
        pass

    layer = {"frozen": nn.BatchNorm2d(4), "synchronised": nn.SyncBatchNorm(4)}.get(kind, Named(4))
    model = _random(nn.Sequential(nn.Conv2d(3, 4, 2), layer))
    if kind == "frozen":
        normwise.freeze(model)
        model.train()
    _, report = _fold(model, torch.randn(2, 3, 5, 5).double())
    assert _changed(report) == [True]


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


class _Calling(nn.Module):
    """Calls what it is told to."""

    def __init__(
        self,
        forward: Callable[[Any, Tensor], Tensor],
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv, self.norm, self.way = nn.Conv2d(3, 4, 1), norm or nn.BatchNorm2d(4), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def _hooked() -> nn.Module:
    model = _Calling(lambda m, x: m.norm(m.conv(x)))
    model.norm.register_forward_hook(lambda *_: None)
    return model


def _watched() -> nn.Module:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1)), nn.BatchNorm2d(4))
    model[0].register_forward_hook(lambda *_: None)
    return model


def _spectral() -> nn.Module:
    model = _Calling(lambda m, x: m.norm(m.conv(x)))
    parametrizations.spectral_norm(model.conv)
    return model


def _tied() -> nn.Module:
    model = _Calling(lambda m, x: m.norm(m.conv(x)) + m.other(x))
    model.other = nn.Conv2d(3, 4, 1)
    model.other.weight = model.conv.weight
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        # Where torch.fx's own fusion is silently wrong: the convolution is called elsewhere, too.
        (_Calling(lambda m, x: m.norm(m.conv(x)) + m.conv(2 * x)), "Conv2d 'conv' is called 2 times"),
        (_Calling(lambda m, x: m.norm(m.norm(m.conv(x)))), "it is called 2 times"),
        (_Calling(lambda m, x: m.norm(y := m.conv(x)) + y), "the output of Conv2d 'conv' is used in 2 places"),
        (_Calling(lambda m, x: m.norm(torch.relu(m.conv(x)))), "before it, relu is not a convolution"),
        (_Calling(lambda m, x: m.conv(x)), "the example does not call it"),
        (_Calling(lambda m, x: m.norm(m.conv(x)), _Scaling(4)), "_Scaling may do anything in its forward"),
        (_Calling(lambda m, x: m.norm(m.conv(x)), nn.BatchNorm2d(4, track_running_stats=False)),
         "it keeps no running statistics"),
        (_hooked(), "it has hooks"),
        (_spectral(), "computed by a parametrization"),
        (_tied(), "Conv2d 'conv' shares its weight or bias with another layer"),
        (_watched(), "a hook of a module around it or Conv2d '0.0' sees what is between them"),
        (_Calling(lambda m, x: m.norm(m.conv(x)) + F.conv2d(x, m.conv.weight)),
         "the weight of Conv2d 'conv' is used outside of it, too"),
        (_Calling(lambda m, x: m.norm(m.conv(x)) + m.norm.weight.sum()),
         "its parameters are used outside of it, too"),
        (_Branching(), "of the model: its forward can't be traced"),
    ],
    ids=lambda value: "" if isinstance(value, nn.Module) else value,
)  # fmt: skip
def test_what_is_not_folded_says_why(model: nn.Module, reason: str) -> None:
    _, report = _fold(_random(model), torch.randn(2, 3, 4, 4).double())
    assert _changed(report) == [False]
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
    _, report = _fold(_random(_Listing()), torch.randn(2, 3, 4, 4).double())
    assert _changed(report) == [True, True]


def test_weights_that_would_overflow_are_left() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1)).half().eval()
    nn.init.constant_(model.get_parameter("0.weight"), 1e4)
    nn.init.constant_(model.get_parameter("1.weight"), 10)
    model.get_submodule("1").get_buffer("running_mean").fill_(1e4)
    _, report = normwise.fold(model, torch.ones(2, 1, 2, 2).half(), timed=False)
    assert report.changes[0].detail == "the weights of Conv2d '0' would be too large for torch.float16"


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


def test_a_lazy_layer_is_said() -> None:
    model = nn.Sequential(nn.LazyConv2d(3, 1), nn.BatchNorm2d(3)).eval()
    with pytest.raises(ModelError, match="LazyConv2d '0' has no weights yet; call the model on a batch"):
        normwise.fold(model, torch.randn(2, 3, 4, 4))


def test_the_example_is_left_as_it_is() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)).eval()
    x = torch.randn(2, 3, 5, 5)
    before = x.clone()
    normwise.fold(model, x)
    assert torch.equal(x, before)


def test_a_quantised_convolution_is_left() -> None:
    # Pain 23, https://github.com/Xilinx/brevitas/issues/388: accuracy dropped.
    config = torch.ao.quantization.get_default_qat_qconfig("onednn")
    model = nn.Sequential(torch.ao.nn.qat.Conv2d(3, 4, 1, qconfig=config), nn.BatchNorm2d(4)).eval()
    model(x := torch.randn(2, 3, 4, 4))
    _, report = normwise.fold(model, x, timed=False)
    assert report.changes[0].detail.startswith("Conv2d '0' is quantised; fold before quantising")


@pytest.mark.parametrize("value", [float("nan"), -0.5])
def test_statistics_that_no_data_have_are_not_folded(value: float) -> None:
    model = _random(_Calling(lambda m, x: m.norm(m.conv(x))))
    model.get_submodule("norm").get_buffer("running_var")[2] = value
    _, report = normwise.fold(model, torch.randn(2, 3, 4, 4).double())
    expected = f"and the variance {value:g}; calibrate the model first"
    assert report.changes[0].detail.startswith("its running statistics of channel 2 are the mean ")
    assert report.changes[0].detail.endswith(expected)
    assert report.output_error == 0


def test_a_layer_that_still_trains_is_left() -> None:
    model = _random(nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)))
    model.train()
    _, report = normwise.fold(model, torch.randn(2, 3, 5, 5).double(), timed=False)
    assert report.changes[0].detail == "it is still training; call model.eval() first"
    assert model.training


def test_a_call_of_a_function_is_reported() -> None:
    def way(m: Any, x: Tensor) -> Tensor:
        return F.batch_norm(m.norm(m.conv(x)), m.norm.running_mean, m.norm.running_var)

    _, report = _fold(_random(_Calling(way)), torch.randn(2, 3, 4, 4).double())
    assert [change.kind for change in report.changes] == ["BatchNorm2d", "batch_norm"]
    assert report.changes[1].detail == "it is a function, and layers are folded: call a BN layer in its place"


def test_layers_folded_in_place_are_the_models_own() -> None:
    model = _random(nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.ReLU()))
    x = torch.randn(2, 3, 5, 5).double()
    expected, conv = model(x), model.get_submodule("0")
    folded, _ = normwise.fold(model, x, inplace=True, timed=False)
    assert folded is model
    assert model.get_submodule("0") is conv
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_difference_beyond_the_tolerance_is_no_model(inplace: bool) -> None:
    # The weight is used in a way that no graph shows.
    model = _random(_Calling(lambda m, x: m.norm(m.conv(x)) + next(m.parameters()).detach().sum().item()))
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
    model = _random(nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)))
    _, report = normwise.fold(model, torch.randn(2, 3, 5, 5).double())
    assert report.speedup_low <= report.speedup <= report.speedup_high
    assert f"evaluates the example {report.speedup:.2f} times as fast as before" in str(report)
    assert from_plain(Folding, to_plain(report)) == report
