"""Measurements of every kind of layer, by running statistics and by the batch's."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from normwise.errors import ArgumentError, ModelError
from normwise.layers import slots_of
from normwise.statistics import Moments, using_batch_statistics
from normwise.statistics.calibrate.layer_record import layer_record
from normwise.statistics.measure.measure import measure

LENGTHS = torch.tensor([2, 5, 4, 5, 3, 5])


def _inputs(model: nn.Module, batches: Any) -> dict[str, Tensor]:
    """Return the inputs of each BN layer, in the mode that it is in, of all batches together."""
    kept: dict[str, list[Tensor]] = {}

    def keep(path: str, _: nn.Module, args: tuple[Tensor]) -> None:
        kept.setdefault(path, []).append(args[0])

    hooks = [
        layer.register_forward_pre_hook(partial(keep, path))
        for path, layer in model.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    with torch.no_grad():
        for batch in batches:
            model(batch)
    for hook in hooks:
        hook.remove()
    return {path: torch.cat(values) for path, values in kept.items()}


def _assert_measured(found: Moments, expected: Tensor) -> None:
    """Of values ``(N, C)``."""
    assert found.count == len(expected)
    torch.testing.assert_close(found.mean, expected.mean(0), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(found.variance, expected.var(0, correction=0), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("by_batch", [False, True])
def test_inputs_are_those_of_evaluation_or_of_training(
    deep: nn.Sequential, images: Tensor, by_batch: bool
) -> None:
    batches = images.split(9)
    if by_batch:
        with using_batch_statistics(deep) as model:
            expected = _inputs(model, batches)
    else:
        expected = _inputs(copy.deepcopy(deep).eval(), batches)
    measurement = measure(deep, batches, by_batch=by_batch)
    assert (measurement.batches, set(measurement.seen)) == (3, {"1", "4"})
    for path, seen in measurement.seen.items():
        _assert_measured(seen.together, expected[path].movedim(1, -1).flatten(0, -2))
        assert seen.calls == 3
    assert list(measurement.call_order.slots) == ["1", "4"]


def test_what_batches_differ_by_is_told_from_what_scatters_in_them() -> None:
    batches = [torch.tensor([[0.0], [2.0]]), torch.tensor([[99.0], [100.0], [101.0]])]
    seen = measure(nn.BatchNorm1d(1), batches).seen[""]
    assert seen.within.item() == pytest.approx(4, rel=1e-12)
    assert seen.between.item() == pytest.approx(2 * (1 - 60.4) ** 2 + 3 * (100 - 60.4) ** 2, rel=1e-12)
    assert (seen.calls, seen.freedom) == (2, 3)


def test_an_iterator_will_do_and_only_so_many_batches_are_taken() -> None:
    x = torch.randn(12, 2, dtype=torch.float64)
    batches = iter(x.split(4))
    _assert_measured(measure(nn.BatchNorm1d(2).double(), batches, max_batches=2).seen[""].together, x[:8])
    assert len(list(batches)) == 1


@pytest.mark.parametrize("by_batch", [False, True])
def test_masked_positions_take_no_part(by_batch: bool) -> None:
    x = torch.randn(6, 5, 4, dtype=torch.float64)
    model = normwise.nn.SequenceBatchNorm(4, batch_first=True, dtype=torch.float64)
    found = measure(model, {"input": x, "lengths": LENGTHS}, by_batch=by_batch).seen["norm"].together
    _assert_measured(found, x[normwise.functional.sequence_mask(LENGTHS)])


@pytest.mark.parametrize("by_batch", [False, True])
def test_each_time_step_has_its_own(by_batch: bool) -> None:
    x = torch.randn(6, 5, 3, dtype=torch.float64)
    model = normwise.nn.BatchNormLSTM(3, 4, batch_first=True, max_length=5, dtype=torch.float64)
    seen = measure(model, {"input": x, "lengths": LENGTHS}, by_batch=by_batch).seen
    steps = [f"norm_ih_l0[{step}]" for step in range(5)]
    assert [seen[step].together.count for step in steps] == [6, 6, 5, 4, 3]
    values = x @ model.get_parameter("weight_ih_l0").detach().t()
    for step, path in enumerate(steps):
        _assert_measured(seen[path].together, values[step < LENGTHS, step])


class Transposed(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ByHand(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        mean, variance = (self.get_buffer(name)[:, None] for name in ("running_mean", "running_var"))
        return ((x - mean) / (variance + self.eps).sqrt()).relu()


@pytest.mark.parametrize("by_batch", [False, True])
def test_of_subclasses_it_is_what_they_normalise(by_batch: bool) -> None:
    x = 3 + torch.randn(10, 7, 4, dtype=torch.float64)
    model = nn.Sequential(Transposed(4), ByHand(7), nn.BatchNorm1d(7)).double()
    seen = measure(model, x, by_batch=by_batch).seen
    _assert_measured(seen["0"].together, x.flatten(0, 1))
    behind = F.batch_norm(
        x.transpose(1, 2), torch.zeros(4).double(), torch.ones(4).double(), training=by_batch
    ).transpose(1, 2)
    _assert_measured(seen["1"].together, behind.transpose(1, 2).flatten(0, 1))
    last = F.batch_norm(behind, torch.zeros(7).double(), torch.ones(7).double(), training=by_batch).relu()
    _assert_measured(seen["2"].together, last.transpose(1, 2).flatten(0, 1))


def test_a_compiled_model_is_measured_without_compiling_it_anew(images: Tensor) -> None:
    compiled: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        compiled.append(graph)
        return graph

    class Wrapped(nn.Module):
        """Has a forward that is ours: torch's own, of nn.Sequential, is not compiled."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(2).double()

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.norm(2 * x))

    model = Wrapped().eval()
    model.compile(backend=backend)
    model(images)
    found = measure(model, images.split(9)).seen["norm"].together
    _assert_measured(found, 2 * images.movedim(1, -1).flatten(0, -2))
    model(images)
    assert len(compiled) == 1


@pytest.mark.parametrize("by_batch", [False, True])
def test_frozen_layers_are_measured_and_normalise_by_their_constants(by_batch: bool) -> None:
    x = 5 + torch.randn(9, 3, dtype=torch.float64)
    model = nn.Sequential(normwise.nn.BatchNorm1d(3, eps=0.0), nn.BatchNorm1d(3)).double()
    normwise.freeze(model[0])
    seen = measure(model, x.split(3), by_batch=by_batch).seen
    _assert_measured(seen["0"].together, x)
    _assert_measured(seen["1"].together, x)


def test_a_layer_that_is_not_measured_has_a_reason() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.spare = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
            self.stateless = nn.BatchNorm1d(2, track_running_stats=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.stateless(self.norm(x))

    measurement = measure(Network(), torch.randn(5, 2))
    assert {path: seen.together.count for path, seen in measurement.seen.items()} == {"norm": 5, "spare": 0}
    assert measurement.reasons == {"stateless": "it keeps no running statistics (track_running_stats=False)"}


def test_how_far_off_running_statistics_are_is_told_without_a_change_to_them(
    deep: nn.Sequential, images: Tensor
) -> None:
    calibrated = copy.deepcopy(deep)
    normwise.calibrate(calibrated, images)
    calibrated[1].get_buffer("running_mean").add_(7)
    before = copy.deepcopy(calibrated.state_dict())
    measurement = measure(calibrated, images.split(9))
    slots = [slot for path in ("1", "4") for slot in slots_of(path, calibrated.get_submodule(path))]
    records = [layer_record(slot, measurement, slot.values(), "population") for slot in slots]
    torch.testing.assert_close(calibrated.state_dict(), before, rtol=0, atol=0)
    assert records[0].verdict == "bad"
    spread = (measurement.seen["1"].variance("population") + 1e-5).sqrt()
    assert records[0].typical_mean_shift == pytest.approx((7 / spread).median().item(), rel=1e-6)
    # Calibration says the same of the layer that comes first, whose inputs don't depend on its own statistics.
    assert records[0].error == normwise.calibrate(calibrated, images.split(9)).layers[0].error


def test_keys_that_forward_has_no_argument_for_are_told() -> None:
    measurement = measure(nn.BatchNorm1d(2), {"input": torch.randn(5, 2), "labels": torch.zeros(5)})
    assert list(measurement.dropped) == ["labels"]


@pytest.mark.parametrize(
    ("model", "data", "error", "text"),
    [
        (nn.Linear(2, 2), torch.ones(3, 2), ModelError, "Linear has no BN layer, so there is nothing to measure"),
        (nn.BatchNorm1d(2), [], ArgumentError, "the data have no batches, so nothing was measured"),
        (nn.LazyBatchNorm1d(), torch.ones(3, 2), ArgumentError, "has not been initialised: call the model once"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(
    model: nn.Module, data: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        measure(model, data)


def test_statistics_that_share_memory_are_looked_at_and_not_written_to() -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2)).double(), torch.randn(5, 2).double()
    model[1].running_mean = model[0].running_mean
    _assert_measured(measure(model, x).seen["0"].together, x)
    with pytest.raises(ArgumentError, match="share memory"):
        measure(model, x, by_batch=True)
