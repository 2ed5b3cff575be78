"""Statistics of ghost, renorm and synchronised layers: those of the data, as of plain BN."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.records import Order
from normwise.statistics import using_batch_statistics

FAMILIES: dict[str, Callable[..., Any]] = {
    "ghost": partial(normwise.nn.GhostBatchNorm2d, virtual_batch_size=3),
    "renorm": partial(normwise.nn.BatchRenorm2d, warmup_steps=0, r_max_steps=0, d_max_steps=0),
    "sync": normwise.nn.SyncBatchNorm,
}
each_family = pytest.mark.parametrize("kind", FAMILIES.values(), ids=FAMILIES)


def _network(kind: Callable[..., Any]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), kind(3), nn.ReLU(), nn.Conv2d(3, 4, 3), kind(4)).double()


def _batches(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [5 + 2 * torch.randn(7, 2, 6, 7, generator=generator, dtype=torch.float64) for _ in range(count)]


@each_family
@pytest.mark.parametrize("order", ["evaluation", "training"])
@torch.no_grad()
def test_calibration_gives_each_layer_the_statistics_of_its_inputs(kind: Any, order: Order) -> None:
    model, plain = _network(kind), _network(normwise.nn.BatchNorm2d)
    normwise.calibrate(model, _batches(), order=order)
    # In the order of training, too, layers normalise by the whole batch meanwhile.
    normwise.calibrate(plain, _batches(), order=order)
    for name in ("1.running_mean", "1.running_var", "4.running_mean", "4.running_var"):
        torch.testing.assert_close(model.state_dict()[name], plain.state_dict()[name], rtol=1e-10, atol=1e-10)


@each_family
@torch.no_grad()
def test_batch_statistics_for_a_while_move_nothing(kind: Any) -> None:
    model, (x,) = _network(kind).eval(), _batches(1)
    before = copy.deepcopy(model.state_dict())
    with using_batch_statistics(model):
        found = model(x)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    # Ghost layers keep their virtual batches; renorm corrects nothing.
    trained = _network(normwise.nn.BatchNorm2d if kind is FAMILIES["renorm"] else kind)
    torch.testing.assert_close(found, trained(x))


@each_family
def test_a_watch_records_the_moments_of_the_whole_batch_of_this_process(kind: Any) -> None:
    model, (x,) = _network(kind), _batches(1)
    with normwise.watch(model) as recording:
        model(x).square().sum().backward()
    point, values = recording.points[0].layers["1"], model[0](x)
    assert point.batch_mean.greatest == pytest.approx(values.mean((0, 2, 3)).max().item(), rel=1e-5)
    assert point.batch_var.greatest == pytest.approx(
        values.var((0, 2, 3), correction=0).max().item(), rel=0.03
    )


@each_family
@pytest.mark.parametrize("tool", ["freeze", "convert"])
def test_frozen_layers_compute_what_evaluation_does_and_thaw_as_they_were(kind: Any, tool: str) -> None:
    model, (x,) = _network(kind), _batches(1)
    model(x)
    expected, types = copy.deepcopy(model).eval()(x), [type(module) for module in model]
    if tool == "freeze":
        normwise.freeze(model)
    else:
        model: Any = normwise.convert(model, "frozen")[0]
    before = copy.deepcopy(model.state_dict())
    torch.testing.assert_close(model.train()(x), expected)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    normwise.unfreeze(model)
    assert [type(module) for module in model] == types
    model.train()(x)
    assert model[1].num_batches_tracked.item() == 2
