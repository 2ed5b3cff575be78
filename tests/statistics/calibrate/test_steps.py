"""Calibration of layers that have statistics for each time step."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.nn import BatchNormGRU, BatchNormLSTM
from normwise.nn.recurrent import StepBatchNorm
from normwise.statistics import calibrate

LENGTHS = torch.tensor([2, 5, 4, 5, 3, 5, 5, 4])


@pytest.fixture
def frames() -> Tensor:
    """(N, L, F), float64."""
    return torch.randn(8, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _batches(frames: Tensor, size: int) -> list[dict[str, Any]]:
    pairs = zip(frames.split(size), LENGTHS.split(size), strict=True)
    return [{"input": x, "lengths": lengths} for x, lengths in pairs]


def _lstm(**arguments: Any) -> BatchNormLSTM:
    torch.manual_seed(0)
    arguments = {"max_length": 5, "gamma": 1.0} | arguments
    return BatchNormLSTM(3, 4, batch_first=True, dtype=torch.float64, **arguments)


def _statistics(model: nn.Module) -> list[Tensor]:
    return [buffer.clone() for name, buffer in model.named_buffers() if "running" in name]


def _inputs(model: nn.Module, batches: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Inputs of each norm at each step in evaluation, of all batches together."""
    seen: dict[str, list[Tensor]] = {}

    def look(path: str, layer: Any, args: tuple[Any, ...]) -> None:
        seen.setdefault(f"{path}[{layer.slot(args[1])}]", []).append(args[0])

    hooks = [
        module.register_forward_pre_hook(partial(look, path))
        for path, module in model.named_modules()
        if isinstance(module, StepBatchNorm)
    ]
    with torch.no_grad():
        for batch in batches:
            model.eval()(**batch)
    for hook in hooks:
        hook.remove()
    return {path: torch.cat(values) for path, values in seen.items()}


def _gru() -> BatchNormGRU:
    return BatchNormGRU(3, 4, batch_first=True, dtype=torch.float64, max_length=5)


@pytest.mark.parametrize("make", [_lstm, _gru])
@pytest.mark.parametrize("size", [8, 4])
def test_evaluation_gives_each_step_the_statistics_of_what_it_then_sees(
    make: Any, frames: Tensor, size: int
) -> None:
    layer, batches = make(), _batches(frames, size)
    report = calibrate(layer, batches)
    seen = _inputs(layer, batches)
    assert {record.path for record in report.layers} == set(seen)
    for path, values in seen.items():
        name, step = path.rstrip("]").split("[")
        norm = layer.get_submodule(name)
        assert torch.allclose(norm.get_buffer("running_mean")[int(step)], values.mean(0), rtol=0, atol=1e-10)
        assert torch.allclose(norm.get_buffer("running_var")[int(step)], values.var(0), rtol=1e-9, atol=1e-12)
    assert [record.count for record in report.layers[:5]] == [8, 8, 7, 6, 4]
    assert report.residual == 0


def test_how_the_data_are_cut_does_not_matter(frames: Tensor) -> None:
    whole, cut = _lstm(), _lstm()
    calibrate(whole, _batches(frames, 8))
    calibrate(cut, [*_batches(frames, 3)])
    for one, other in zip(_statistics(whole), _statistics(cut), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-10)


def test_in_one_pass_a_single_batch_gives_what_training_normalises_with(frames: Tensor) -> None:
    layer = _lstm()
    report = calibrate(layer, [{"input": frames}], order="training")
    trained = copy.deepcopy(layer).train()(frames)[0]
    # The running variance has Bessel's correction, which the batch's own has not.
    for module in layer.modules():
        if isinstance(module, StepBatchNorm):
            module.running_var.mul_((len(frames) - 1) / len(frames))
    assert torch.allclose(layer.eval()(frames)[0], trained, rtol=0, atol=1e-9)
    assert report.passes == 1


def test_a_step_that_the_data_never_reach_gets_the_statistics_of_the_last_that_they_do(
    frames: Tensor,
) -> None:
    layer = _lstm(max_length=7)
    report = calibrate(layer, _batches(frames, 4), order="training")
    norm = layer.get_submodule("norm_hh_l0")
    assert isinstance(norm, StepBatchNorm)
    assert torch.equal(norm.running_mean[5], norm.running_mean[4])
    assert torch.equal(norm.running_var[6], norm.running_var[4])
    reasons = {record.path: record.reason for record in report.layers if not record.calibrated}
    assert reasons["norm_hh_l0[6]"] == "the data never reach it, and it has got the statistics of step 4"
    assert len(reasons) == 6


def test_a_step_that_only_training_reached_keeps_what_it_has(frames: Tensor) -> None:
    layer = _lstm(max_length=7)
    layer.train()(torch.randn(4, 7, 3, dtype=torch.float64))
    before = _statistics(layer)
    report = calibrate(layer, _batches(frames, 4), order="training")
    for old, new in zip(before, _statistics(layer), strict=True):
        assert torch.equal(old[5:], new[5:])
        assert not torch.equal(old[:5], new[:5])
    assert {record.reason for record in report.layers if not record.calibrated} == {"the data never reach it"}


def test_common_statistics_of_late_steps_are_those_of_all_of_them(frames: Tensor) -> None:
    layer = _lstm(max_length=2, gamma=0.1)
    report = calibrate(layer, _batches(frames, 4))
    counts = {record.path: record.count for record in report.layers}
    assert counts["norm_ih_l0[1]"] == int((LENGTHS - 1).sum())
    values = frames @ layer.get_parameter("weight_ih_l0").detach().t()
    late = torch.cat([values[row, 1:length] for row, length in enumerate(LENGTHS.tolist())])
    norm = layer.get_submodule("norm_ih_l0")
    assert torch.allclose(norm.get_buffer("running_mean")[1], late.mean(0), rtol=0, atol=1e-10)


def test_layers_around_a_recurrence_are_exact_too(frames: Tensor) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = _lstm()
            self.norm = normwise.nn.SequenceBatchNorm(4, batch_first=True, dtype=torch.float64)

        def forward(self, input: Tensor, lengths: Tensor) -> Tensor:
            return self.norm(self.lstm(input, lengths=lengths)[0], lengths)

    model = Network()
    batches = _batches(frames, 3)
    calibrate(model, batches)
    outputs, _ = model.lstm.eval()(frames, lengths=LENGTHS)
    real = outputs[normwise.functional.sequence_mask(LENGTHS)]
    assert torch.allclose(model.norm.norm.get_buffer("running_mean"), real.mean(0), rtol=0, atol=1e-10)


def test_a_failure_leaves_all_as_it_was(frames: Tensor) -> None:
    layer = _lstm()
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(
        normwise.errors.ModelError, match=r"StepBatchNorm 'norm_ih_l0\[0\]' values that are not finite"
    ):
        calibrate(layer, [{"input": frames}, {"input": frames * float("nan")}])
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
