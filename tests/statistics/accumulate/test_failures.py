"""An error leaves nothing moved where statistics can not be accumulated."""

import copy

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ArgumentError, ModelError
from tests.statistics.accumulate.movement import assert_moved_as, statistics_of


class _ByHand(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        assert self.running_mean is not None
        self.running_mean.lerp_(x.detach().mean(0), 0.1)
        return x - x.mean(0)


def test_a_layer_that_normalises_by_hand_is_an_error_and_nothing_moves() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), _ByHand(3))
    before = statistics_of(model)
    with (
        pytest.raises(
            ModelError, match=r"_ByHand '1' moves its running statistics without a call of batch_norm"
        ),
        normwise.accumulate(model),
    ):
        model(torch.randn(4, 3) + 1)
    assert all(torch.equal(before[name], value) for name, value in statistics_of(model).items())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_nothing_has_moved_and_nothing_is_left(error: type[BaseException]) -> None:
    class Fails(nn.BatchNorm1d):
        def forward(self, input: Tensor) -> Tensor:
            super().forward(input)
            raise error

    model = nn.Sequential(nn.BatchNorm1d(3), Fails(3))
    before = {id(value): value.clone() for value in model.buffers()}
    with pytest.raises(error), normwise.accumulate(model):
        model(torch.randn(4, 3) + 1)
    assert all(torch.equal(before[id(value)], value) for value in model.buffers())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model)
    assert not any("forward" in vars(layer) for layer in model)


def test_a_micro_batch_that_fails_and_is_left_out_counts_nowhere() -> None:
    class Fails(nn.BatchNorm1d):
        def forward(self, input: Tensor) -> Tensor:
            if len(input) == 5:
                raise RuntimeError("out of memory")
            return super().forward(input)

    model, x = nn.Sequential(Fails(3)), torch.randn(8, 3) + 1
    union = copy.deepcopy(model)
    union(x)
    with normwise.accumulate(model):
        model(x[:4])
        with pytest.raises(RuntimeError, match="out of memory"):
            model(x[:5])
        model(x[4:])
    assert_moved_as(model, union)


def test_a_second_context_within_one_is_an_error_that_leaves_the_first_alone() -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(3)), torch.randn(4, 3)
    with normwise.accumulate(model):
        model(x)
        with (
            pytest.raises(ArgumentError, match=r"BatchNorm1d '0' are being accumulated already"),
            normwise.accumulate(model),
        ):
            pass
    torch.testing.assert_close(model.get_buffer("0.running_mean"), 0.1 * x.mean(0))
    with normwise.accumulate(model):
        model(x)
    assert model.get_buffer("0.num_batches_tracked") == 2


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (nn.Linear(2, 2), ModelError, "has no BN layer, so there is nothing to accumulate"),
        (nn.LazyBatchNorm1d(), ArgumentError, "has not been initialised"),
    ],
)
def test_models_that_have_nothing_to_accumulate_are_errors(
    model: nn.Module, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        normwise.accumulate(model)


def test_errors_of_a_layer_are_its_own() -> None:
    layer = normwise.nn.BatchNorm1d(3)
    for bad, text in (
        (torch.randn(4, 2), "expected 3 channels"),
        (torch.randn(3), "expected an input of shape"),
    ):
        with pytest.raises(normwise.errors.ShapeError, match=text), normwise.accumulate(layer):
            layer(bad)
    with pytest.raises(normwise.errors.MaskError, match="boolean"), normwise.accumulate(layer):
        layer(torch.randn(4, 3), mask=torch.ones(4))


def test_what_is_no_optimizer_is_refused_before_anything_is_touched() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3))
    with pytest.raises(ArgumentError, match=r"expected an optimizer of torch\.optim, got list"):
        normwise.accumulate(model, optimizer=[torch.optim.SGD(model.parameters(), 0.1)])  # pyright: ignore[reportArgumentType]
    model(torch.randn(4, 3))
    assert model[0].get_buffer("num_batches_tracked") == 1
