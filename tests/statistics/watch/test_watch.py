"""Contents and times of the records of ``watch``."""

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import normwise
from normwise.errors import ArgumentError, ShapeError
from normwise.nn.mixins.frozen import freeze_layer
from normwise.statistics.watch.recording_folder import RecordingFolder


def _train(model: nn.Module, batches: list[Tensor]) -> None:
    for x in batches:
        model.zero_grad()
        model(x).square().sum().backward()


def _batches(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [5 + 2 * torch.randn(6, 2, 6, 7, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize(("every", "steps"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (5, [0]), (200, [0])])
def test_each_interval_has_a_record_from_the_first_step_on(
    deep: nn.Sequential, every: int, steps: list[int]
) -> None:
    with normwise.watch(deep, every=every) as recording:
        _train(deep, _batches(5))
    assert [point.step for point in recording.points] == steps
    assert recording.steps == 5
    assert all(list(point.layers) == ["1", "4"] for point in recording.points)


def test_without_a_block_it_records_until_it_is_closed(deep: nn.Sequential) -> None:
    recording = normwise.watch(deep, every=1)
    _train(deep, _batches(2))
    recording.close()
    recording.close()
    _train(deep, _batches(1))
    assert [point.step for point in recording.points] == [0, 1]
    assert not deep._forward_pre_hooks


def test_the_record_of_the_head(deep: nn.Sequential) -> None:
    with normwise.watch(deep, every=3) as recording:
        _train(deep, _batches(1))
    record = recording.record
    assert record.every == 3
    assert [(layer.path, layer.kind, layer.channels) for layer in record.layers] == [
        ("1", type(deep[1]).__name__, 3), ("4", type(deep[4]).__name__, 4),
    ]  # fmt: skip
    assert record.points == recording.points
    assert "1: batch mean" in str(recording)


def test_evaluation_is_no_step(deep: nn.Sequential) -> None:
    with normwise.watch(deep, every=2) as recording:
        for x in _batches(4):
            _train(deep.train(), [x])
            deep.eval()(x)
    assert [point.step for point in recording.points] == [0, 2]


def test_running_statistics_are_those_before_the_step(deep: nn.Sequential) -> None:
    layer = deep[1]
    before = layer.get_buffer("running_mean").clone()
    with normwise.watch(deep) as recording:
        _train(deep, _batches(1))
    point = recording.points[0].layers["1"]
    assert point.running_mean is not None
    assert point.running_mean.greatest == pytest.approx(before.max().item(), rel=1e-5)


def test_gradients_are_those_that_the_backward_pass_leaves(deep: nn.Sequential) -> None:
    outputs: dict[str, Tensor] = {}

    def keep(layer: nn.Module, _: Any, output: Tensor) -> None:
        output.retain_grad()
        outputs[{deep[1]: "1", deep[4]: "4"}[layer]] = output

    hooks = [deep[i].register_forward_hook(keep) for i in (1, 4)]
    deep[2] = nn.ReLU(inplace=False)
    with normwise.watch(deep) as recording:
        _train(deep, _batches(1))
    for path in ("1", "4"):
        layer, point = deep.get_submodule(path), recording.points[0].layers[path]
        for got, tensor in (
            (point.weight_grad, layer.weight),
            (point.bias_grad, layer.bias),
            (point.output_grad, outputs[path]),
        ):
            assert isinstance(tensor, Tensor)
            assert tensor.grad is not None
            assert got == pytest.approx(tensor.grad.norm().item(), rel=1e-5)
    for hook in hooks:
        hook.remove()


def test_a_step_without_a_backward_pass_has_no_gradients(deep: nn.Sequential) -> None:
    first, second = _batches(2)
    with normwise.watch(deep, every=1) as recording:
        deep(first)
        with torch.no_grad():
            deep(second)
    for point in recording.points:
        for layer in point.layers.values():
            assert all(map(math.isnan, (layer.weight_grad, layer.bias_grad, layer.output_grad)))


def test_gradients_are_of_the_step_and_not_of_a_later_one(deep: nn.Sequential) -> None:
    with normwise.watch(deep, every=2) as recording:
        _train(deep, _batches(1))
        seen = [recording.points]
        _train(deep, _batches(2)[1:])
        seen.append(recording.points)
    assert [len(points) for points in seen] == [0, 1]  # complete when the next step begins
    with normwise.watch(deep, every=1) as other:
        deep(_batches(1)[0])
        deep(_batches(1)[0]).sum().backward()
    gradients = [point.layers["4"].output_grad for point in other.points]
    assert math.isnan(gradients[0])
    assert gradients[1] > 0


def test_parameters_that_do_not_train_have_no_gradients(deep: nn.Sequential) -> None:
    deep[1].get_parameter("weight").requires_grad_(False)
    with normwise.watch(deep) as recording:
        _train(deep, _batches(1))
    point = recording.points[0].layers["1"]
    assert math.isnan(point.weight_grad)
    assert point.bias_grad > 0


def test_frozen_layers_and_those_in_evaluation_are_marked(deep: nn.Sequential) -> None:
    freeze_layer(deep[1])
    with normwise.watch(deep, every=1) as recording:
        _train(deep.train(), _batches(1))
        deep[4].eval()
        _train(deep, _batches(1))
    marks = [[layer.by_batch for layer in point.layers.values()] for point in recording.points]
    assert marks == [[False, True], [False, False]]


class _Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.unused = nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.norm(2 * self.norm(x)))


def test_a_shared_layer_is_recorded_by_its_first_call_and_an_unreached_one_not() -> None:
    model, x = _Shared(), 7 + torch.randn(20, 3)
    with normwise.watch(model) as recording:
        _train(model, [x])
    (point,) = recording.points
    assert list(point.layers) == ["norm"]
    assert point.layers["norm"].calls == 3
    assert point.layers["norm"].batch_mean.least == pytest.approx(x.mean(0).min().item(), rel=1e-5)
    assert model.norm.weight.grad is not None
    assert point.layers["norm"].weight_grad == pytest.approx(model.norm.weight.grad.norm().item(), rel=1e-5)
    assert [layer.path for layer in recording.record.layers] == ["norm", "unused"]


def test_a_layer_that_is_the_model() -> None:
    layer, x = nn.BatchNorm1d(3), torch.randn(9, 3)
    with normwise.watch(layer) as recording:
        _train(layer, [x])
    (point,) = recording.points
    assert point.layers[""].output_grad > 0
    assert "the model: batch mean" in str(recording)


def test_masks_and_keywords() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = normwise.nn.BatchNorm1d(3)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.norm(input=x, mask=mask)

    model, x, mask = Masked(), torch.randn(4, 3, 5), torch.rand(4, 5) < 0.6
    with normwise.watch(model) as recording:
        model(x, mask)
    assert recording.points[0].layers["norm"].values == int(mask.sum())


def test_a_lazy_layer_is_recorded_once_it_knows_its_size() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that lazy modules may change
        model = nn.Sequential(nn.LazyBatchNorm1d())
    with normwise.watch(model) as recording:
        model(torch.randn(4, 3))
    assert recording.points[0].layers["0"].values == 4
    assert recording.record.layers[0].channels == 0


def test_channels_of_a_lazy_layer_are_not_known_yet() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Lazy modules are a new feature", UserWarning)
        model = nn.Sequential(nn.LazyBatchNorm1d())
    with (
        pytest.raises(ArgumentError, match="'0' is lazy and has no channels yet"),
        normwise.watch(model, units={"0": [0]}),
    ):
        raise AssertionError


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_that_diverges_is_recorded(value: float, tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(3)), torch.randn(6, 3)
    x[2, 0] = value
    with normwise.watch(model, every=1, to=tmp_path) as recording:
        _train(model, [x, x])
    for point in recording.points:
        assert math.isnan(point.layers["0"].noise_mean.rms)
        assert math.isfinite(point.layers["0"].units[1].input[1])
    assert repr(RecordingFolder(tmp_path).read().points[0].layers["0"].units[1]) == repr(
        recording.points[0].layers["0"].units[1]
    )


def test_a_synchronised_layer_in_evaluation() -> None:
    model = nn.Sequential(nn.SyncBatchNorm(3), nn.Flatten())
    model[0].eval()
    with normwise.watch(model) as recording:
        model(torch.randn(4, 3, 2))
    assert not recording.points[0].layers["0"].by_batch


def test_a_checkpointed_layer_is_seen_in_the_step_and_not_in_the_recomputation() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            output = checkpoint(self.norm, x, use_reentrant=False)
            assert isinstance(output, Tensor)
            return output

    model = Checkpointed()
    with normwise.watch(model) as recording:
        _train(model, [torch.randn(4, 3)])
    assert recording.points[0].layers["norm"].calls == 1
    assert recording.points[0].layers["norm"].weight_grad > 0


@pytest.mark.parametrize(
    ("units", "wanted"),
    [
        (0, {"1": [], "4": []}),
        (2, {"1": [0, 2], "4": [1, 3]}),
        (9, {"1": [0, 1, 2], "4": [0, 1, 2, 3]}),
        ({"4": [3, 0]}, {"1": [], "4": [3, 0]}),
        ({"1": np.arange(2)}, {"1": [0, 1], "4": []}),
    ],
    ids=str,
)
def test_units_are_chosen(
    deep: nn.Sequential, units: int | Mapping[str, list[int]], wanted: dict[str, list[int]]
) -> None:
    with normwise.watch(deep, units=units) as recording:
        deep(_batches(1)[0])
    layers = recording.points[0].layers
    assert {path: [unit.channel for unit in layer.units] for path, layer in layers.items()} == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "expected a number of steps from 1 on as every, got 0"),
        ({"every": True}, "got True"),
        ({"every": 2.5}, "got 2.5"),
        ({"units": -1}, "expected a number of units from 0 on, or channels by path, got -1"),
        ({"units": [1]}, "or channels by path, got"),
        ({"units": {"2": [0]}}, "units names '2', which is not a BN layer of the model; those are '1', '4'"),
        ({"units": {"1": [0, 3]}}, "units: '1' has the channels 0 to 2, got 3"),
        ({"units": {"1": [-1]}}, "units: '1' has the channels 0 to 2, got -1"),
        ({"units": {"1": [0.5]}}, r"units: expected channels of '1' such as \[0, 2\], got \[0.5\]"),
        ({"units": {"4": 3}}, r"units: expected channels of '4' such as \[0, 2\], got 3"),
        ({"to": 3}, "to=3 is not a destination for a recording"),
    ],
    ids=str,
)
def test_arguments_that_mean_nothing(
    deep: nn.Sequential, state: Callable[[nn.Module], object], arguments: dict[str, Any], message: str
) -> None:
    before = state(deep)
    with pytest.raises(ArgumentError, match=message), normwise.watch(deep, **arguments):
        raise AssertionError
    assert state(deep) == before


def test_a_model_without_batch_normalization() -> None:
    with (
        pytest.raises(ArgumentError, match="Linear has no batch normalization layer"),
        normwise.watch(nn.Linear(1, 1)),
    ):
        raise AssertionError


def test_no_training_pass_is_said(deep: nn.Sequential) -> None:
    with (
        pytest.warns(UserWarning, match="saw no training pass of Sequential"),
        normwise.watch(deep) as recording,
    ):
        deep.eval()(_batches(1)[0])
    assert recording.points == ()
    assert str(recording) == "layers: 2, records: 0, interval: 200 steps"


def test_a_wrong_input_is_the_layers_own_error_and_no_record() -> None:
    model = nn.Sequential(normwise.nn.BatchNorm1d(3))
    with normwise.watch(model, every=1) as recording:
        with pytest.raises(ShapeError, match="expected 3 channels, got 4"):
            model(torch.randn(5, 4))
        model(torch.randn(5, 3))
    assert [point.step for point in recording.points] == [1]


def test_an_empty_batch_is_no_layer_of_the_record() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3).eval())
    with normwise.watch(model) as recording:
        model(torch.empty(0, 3))
    assert recording.points[0].layers == {}
