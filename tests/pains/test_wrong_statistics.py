"""Running statistics that are not those of these weights on this data, whatever the cause: calibrate corrects them."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

import normwise
from normwise.records import Calibration

Data = tuple[Tensor, Tensor]
Loss = Callable[[nn.Module], float]
State = dict[str, Tensor]


def _norms(model: nn.Module) -> list[nn.BatchNorm1d]:
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]


def _healed(model: nn.Module, data: Data, loss: Loss, good: float, *, bad: float = 10.0) -> Calibration:
    """That the model was bad, and is good once it is calibrated."""
    before = loss(model.eval())
    # A NaN is bad, too.
    assert not before < bad * good + 0.5
    report = normwise.calibrate(model, data[0].split(60))
    assert loss(model) == pytest.approx(good, abs=0.02)
    assert "bad" in [layer.verdict for layer in report.layers]
    return report


def test_1_evaluation_is_bad_on_the_training_data_itself(
    trained: nn.Sequential, data: Data, loss: Loss
) -> None:
    # https://github.com/pytorch/pytorch/issues/4741: the averages lag behind, here as after very few steps.
    good = loss(trained)
    for layer in _norms(trained):
        layer.reset_running_stats()
        layer.momentum = 0.01
    trained.train()
    for part in data[0].split(60):
        trained(part)
    _healed(trained, data, loss, good)


def test_6_an_average_of_parameters_forgets_the_buffers(
    trained: nn.Sequential, data: Data, loss: Loss
) -> None:
    # https://github.com/facebookresearch/moco/issues/70
    good, copied = loss(trained), copy.deepcopy(trained)
    for layer in _norms(copied):
        layer.reset_running_stats()
    for own, other in zip(copied.parameters(), trained.parameters(), strict=True):
        own.data.mul_(0.0).add_(other.data)
    _healed(copied, data, loss, good)


def test_7_averaged_weights_have_the_statistics_of_none_of_them(
    trained: nn.Sequential, data: Data, loss: Loss
) -> None:
    # https://github.com/facebookresearch/schedule_free/issues/11
    other = copy.deepcopy(trained).train()
    optimizer = torch.optim.SGD(other.parameters(), lr=1.0)
    averaged = AveragedModel(trained)
    for part, labels in zip(data[0].split(60), data[1].split(60), strict=True):
        F.cross_entropy(other(part), labels).backward()
        optimizer.step()
        averaged.update_parameters(other)
    # Batch statistics, as training has them, are what the averaged weights are worth.
    good = loss(averaged.train())
    averaged.load_state_dict(averaged.state_dict() | {
        f"module.{name}": value for name, value in trained.state_dict().items() if "running" in name
    })  # fmt: skip
    before = loss(averaged.eval())
    normwise.calibrate(averaged, data[0].split(60))
    assert abs(loss(averaged) - good) < 0.2 * abs(before - good)


def test_9_a_momentum_of_0_99_keeps_the_last_batch_and_nothing_else(
    trained: nn.Sequential, data: Data, loss: Loss
) -> None:
    # https://github.com/pytorch/vision/issues/8250: torch's momentum is 1 less TensorFlow's.
    good = loss(trained)
    for layer in _norms(trained):
        layer.momentum = 0.99
    trained.train()
    for part in data[0][data[1].sort(stable=True).indices].split(60):
        trained(part)  # sorted by class: the last batches are all of the last
    healed, report = normwise.convert(trained, "torch", momentum=0.01)
    assert [layer.momentum for layer in _norms(healed)] == [0.01, 0.01]
    assert all(change.changed for change in report.changes)
    _healed(healed, data, loss, good)


def test_12_a_checkpoint_without_its_buffers(trained: nn.Sequential, data: Data, loss: Loss) -> None:
    # https://github.com/pytorch/pytorch/issues/8430, https://github.com/huggingface/peft/issues/1732
    good, fresh = loss(trained), copy.deepcopy(trained)
    for layer in _norms(fresh):
        layer.reset_running_stats()
    fresh.load_state_dict(dict(trained.named_parameters()), strict=False)
    assert all(layer.get_buffer("num_batches_tracked") == 0 for layer in _norms(fresh))
    _healed(fresh, data, loss, good)


@pytest.mark.parametrize("kind", ["NaN", "negative variance"])
def test_13_what_one_bad_batch_or_average_did_heals_never_by_itself(
    trained: nn.Sequential, data: Data, loss: Loss, kind: str
) -> None:
    # https://github.com/pytorch/pytorch/issues/1206, https://github.com/timgaripov/swa/issues/8
    good, momentum = loss(trained), 0.1
    if kind == "NaN":
        trained.train()(torch.full((4, 8), torch.nan))
        for _ in range(10):
            for part in data[0].split(60):
                trained(part)
        assert torch.isnan(trained[1].get_buffer("running_mean")).all()
    else:
        trained[1].get_buffer("running_var").mul_(-momentum)
    report = _healed(trained, data, loss, good)
    said = {
        "NaN": "NaN in 16 of 16 channels",
        "negative variance": "of negative variance in 16 of 16 channels",
    }
    assert f"old statistics were {said[kind]}; replaced" in str(report)
    assert "nan" not in str(report)


def test_17_statistics_in_bfloat16_stand_still(data: Data) -> None:
    # https://github.com/pytorch/pytorch/issues/61924: steps below half a unit of the last digit are lost.
    layer = nn.BatchNorm1d(8, momentum=1e-3).bfloat16()
    for _ in range(300):
        layer(data[0].bfloat16())
    expected = data[0].bfloat16().double()
    assert (layer.get_buffer("running_mean").double() < 0.5 * expected.mean(0)).all()
    report = normwise.calibrate(layer, data[0].bfloat16().split(60))
    torch.testing.assert_close(layer.get_buffer("running_mean"), expected.mean(0).bfloat16())
    torch.testing.assert_close(layer.get_buffer("running_var"), expected.var(0).bfloat16())
    assert report.layers[0].mean_shift > 1


@pytest.mark.parametrize("swapped", [False, True], ids=["eps", "mean and variance swapped"])
def test_18_weights_from_keras_come_with_another_epsilon_and_order(
    trained: nn.Sequential, data: Data, swapped: bool
) -> None:
    # https://github.com/gzuidhof/nn-transfer/pull/3
    for layer in _norms(trained):
        layer.eps = 1e-3  # what it was trained with there
        layer.get_buffer("running_var").mul_(1e-3)  # where a thousandth matters
    normwise.calibrate(trained, data[0] / 30)
    expected = trained(data[0] / 30)
    ported = copy.deepcopy(trained)
    for layer in _norms(ported):
        layer.eps = 1e-5
        if swapped:
            mean, variance = layer.get_buffer("running_mean").clone(), layer.get_buffer("running_var").clone()
            layer.get_buffer("running_mean").copy_(variance)
            layer.get_buffer("running_var").copy_(mean)
    assert not torch.allclose(ported(data[0] / 30), expected, atol=1e-3)
    healed, _ = normwise.convert(ported, "torch", eps=1e-3)
    normwise.calibrate(healed, data[0] / 30)
    torch.testing.assert_close(healed(data[0] / 30), expected, rtol=1e-4, atol=1e-4)
