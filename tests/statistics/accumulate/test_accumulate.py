"""Micro-batches within ``accumulate`` move the running statistics once, as their union does."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from tests.statistics.accumulate.movement import assert_moved_as, parts_of, statistics_of
from tests.support.layers import KINDS, Kind


@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
@pytest.mark.parametrize("ours", [True, False], ids=["ours", "torch"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_micro_batches_move_statistics_as_their_union(kind: Kind, ours: bool, momentum: float | None) -> None:
    layer = (kind.ours if ours else kind.theirs)(3, momentum=momentum)
    union = copy.deepcopy(layer)
    for _ in range(2):  # the second time from statistics that are not those of a new layer
        x = torch.randn(8, *kind.shape[1:]) * 2 + 3
        union.double()(x.double())
        with normwise.accumulate(layer):
            for part in parts_of(x):
                layer(part.contiguous(memory_format=kind.memory_format)).sum().backward()
    assert_moved_as(layer, union)


def test_no_digit_is_lost_where_the_mean_is_many_deviations() -> None:
    layer, x = normwise.nn.BatchNorm1d(5, momentum=1.0), torch.randn(96, 5) + 1e4
    with normwise.accumulate(layer):
        for part in x.chunk(32):
            layer(part)
    mean, variance = x.double().mean(0), x.double().var(0)
    torch.testing.assert_close(layer.running_mean, mean.float(), rtol=0, atol=0)
    torch.testing.assert_close(layer.running_var, variance.float(), rtol=1.2e-7, atol=0)


def test_each_micro_batch_is_normalised_by_itself_and_has_the_gradients_of_plain_accumulation() -> None:
    model = nn.Sequential(nn.Linear(4, 3), normwise.nn.BatchNorm1d(3, activation="relu"))
    plain, x = copy.deepcopy(model), torch.randn(8, 4)
    with normwise.accumulate(model):
        for part in parts_of(x):
            found, expected = model(part), plain(part)
            assert torch.equal(found, expected)
            found.square().sum().backward()
            expected.square().sum().backward()
    for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.equal(mine.grad, theirs.grad)


def test_masked_positions_take_no_part_and_one_real_position_counts_in_the_union() -> None:
    layer, x = normwise.nn.BatchNorm1d(3), torch.randn(6, 3, 4)
    mask = torch.rand(6, 4) > 0.5
    mask[0] = torch.tensor([True, False, False, False])
    mask[1] = False
    union = copy.deepcopy(layer).double()
    union(x.double(), mask=mask)
    with normwise.accumulate(layer):
        for part, real in zip(x.split(1), mask.split(1), strict=True):
            layer(part, mask=real)
    assert_moved_as(layer, union)


def test_sequences_count_each_real_step_once() -> None:
    layer, x, lengths = (
        normwise.nn.SequenceBatchNorm(3, batch_first=True),
        torch.randn(6, 5, 3),
        [5, 4, 4, 2, 1, 3],
    )
    union = copy.deepcopy(layer).double()
    union(x.double(), lengths)
    with normwise.accumulate(layer):
        layer(x[:2], lengths[:2])
        layer(x[2:], lengths[2:])
    assert_moved_as(layer, union)


def test_each_time_step_has_the_statistics_of_its_union() -> None:
    norm: Any = normwise.nn.BatchNormLSTM(3, 4, max_length=6).norm_hh_l0
    x = [torch.randn(6 - step, 16) for step in range(5)]  # shorter ones have ended
    union = copy.deepcopy(norm).double()
    for step, values in enumerate(x):
        union(values.double(), step)
    union.extend(5)
    with normwise.accumulate(norm):
        for part in (slice(0, 3), slice(3, 4), slice(4, None)):
            for step, values in enumerate(x):
                if len(values[part]):
                    norm(values[part], step)
    assert_moved_as(norm, union)
    assert norm.num_batches_tracked.tolist() == [1, 1, 1, 1, 1, 0]


def test_steps_that_no_micro_batch_reached_follow_the_last_one_that_was() -> None:
    lstm = normwise.nn.BatchNormLSTM(3, 4, max_length=6)
    with normwise.accumulate(lstm):
        lstm(torch.randn(3, 4, 3))
        lstm(torch.randn(2, 4, 3))
    norm: Any = lstm.norm_hh_l0
    assert norm.num_batches_tracked.tolist() == [1, 1, 1, 0, 0, 0]
    assert torch.equal(norm.running_mean[5], norm.running_mean[2])


def test_all_calls_of_a_layer_in_a_micro_batch_count() -> None:
    layer, x = nn.BatchNorm1d(3), torch.randn(12, 3)
    union = copy.deepcopy(layer)
    union(x)
    with normwise.accumulate(layer):
        for part in x.chunk(2):
            layer(part[:2])
            layer(part[2:])
    assert_moved_as(layer, union)


class _Transposed(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class _ByFunction(nn.BatchNorm1d):
    """Has a momentum of its own, and counts nothing."""

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return nn.functional.batch_norm(
            x.transpose(1, 2), self.running_mean, self.running_var, self.weight, self.bias, True, 0.25, 1e-3
        ).transpose(1, 2)


@pytest.mark.parametrize(("kind", "momentum"), [(_Transposed, 0.1), (_ByFunction, 0.25)])
def test_subclasses_count_what_they_normalise_by_the_momentum_that_they_use(
    kind: type[nn.BatchNorm1d], momentum: float
) -> None:
    model, x = nn.Sequential(kind(3)), torch.randn(8, 5, 3) + 2
    with normwise.accumulate(model):
        for part in parts_of(x):
            model(part)
    flat = x.flatten(0, 1)
    torch.testing.assert_close(model.get_buffer("0.running_mean"), momentum * flat.mean(0))
    torch.testing.assert_close(model.get_buffer("0.running_var"), 1 - momentum + momentum * flat.var(0))


def test_a_micro_batch_that_is_not_finite_spoils_its_channel_as_in_the_union() -> None:
    layer, x = nn.BatchNorm1d(3), torch.randn(8, 3)
    x[5, 1] = torch.nan
    union = copy.deepcopy(layer)
    union(x)
    with normwise.accumulate(layer):
        for part in parts_of(x):
            layer(part)
    torch.testing.assert_close(layer.state_dict(), union.state_dict(), equal_nan=True)


def test_one_value_in_all_micro_batches_moves_nothing() -> None:
    layer = normwise.nn.BatchNorm1d(3)
    before = statistics_of(layer)
    with normwise.accumulate(layer):
        layer(torch.randn(1, 3, 2), mask=torch.tensor([[True, False]]))
        layer(torch.randn(1, 3, 2), mask=torch.tensor([[False, False]]))
    assert all(torch.equal(before[name], value) for name, value in statistics_of(layer).items())


def test_accelerated_models_move_as_their_union() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
    )
    x = torch.randn(6, 3, 8, 8)
    fast: Any = normwise.accelerate(model, x)[0]
    first = copy.deepcopy(model)
    first(x)
    with normwise.accumulate(fast):
        for part in x.chunk(3):
            fast(part)
    found = statistics_of(fast)
    torch.testing.assert_close(found["1.running_var"], statistics_of(first)["1.running_var"])
    assert all(value == 1 for name, value in found.items() if name.endswith("tracked"))


@pytest.mark.parametrize("early", [True, False], ids=["compiled before", "compiled inside"])
def test_compiled_models_move_as_their_union(early: bool) -> None:
    model: Any = nn.Sequential(
        nn.Linear(4, 3), normwise.nn.BatchNorm1d(3, activation="relu"), nn.BatchNorm1d(3)
    )
    union, x = copy.deepcopy(model), torch.randn(12, 4)
    union(x)
    compiled: Any = torch.compile(model, backend="eager") if early else None
    if early:
        compiled(x[:4])
        model.load_state_dict(copy.deepcopy(union.state_dict()))
        for layer in (model[1], model[2]):
            layer.reset_running_stats()
    with normwise.accumulate(model):
        compiled = compiled or torch.compile(model, backend="eager")
        for part in x.chunk(3):
            compiled(part).sum().backward()
    assert_moved_as(model[1], union[1])
    assert model.get_buffer("2.num_batches_tracked") == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: normwise.nn.GhostBatchNorm1d(3, virtual_batch_size=2),
        lambda: normwise.nn.BatchRenorm1d(3, warmup_steps=0, r_max_steps=2, d_max_steps=2),
        lambda: normwise.nn.SyncBatchNorm(3),
    ],
    ids=["ghost", "renorm", "sync"],
)
def test_ghost_renorm_and_synchronised_layers_move_as_their_union(make: Any) -> None:
    layer = make()
    union, x = copy.deepcopy(layer).double(), torch.randn(12, 3) + 2
    for _ in range(3):
        outputs = [copy.deepcopy(layer)(part) for part in x.chunk(3)]
        union(x.double())
        with normwise.accumulate(layer):
            found = [layer(part) for part in x.chunk(3)]
        # Renorm corrects each micro-batch by the running statistics of before.
        torch.testing.assert_close(found, outputs, rtol=0, atol=0)
    assert_moved_as(layer, union)
