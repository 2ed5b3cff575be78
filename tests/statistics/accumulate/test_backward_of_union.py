"""Micro-batches that are normalised by the statistics of their union have its loss, gradients and statistics."""

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import normwise
from normwise.errors import ArgumentError, ModelError, ShapeError
from normwise.statistics import backward_of_union
from tests.support.networks import Block, Twice

# Subclasses name their arguments as they like.
# pyright: reportIncompatibleMethodOverride=false


def _square(model: nn.Module, x: Any) -> Tensor:
    output = model(x)
    return (output[0] if isinstance(output, tuple) else output).square().mean()


def _assert_as_union(model: nn.Module, parts: Any, union: Any, loss: Any = _square) -> None:
    """Compare in float64 with one batch, to rounding."""
    model.double()
    whole = copy.deepcopy(model)
    found = backward_of_union(model, parts, loss)
    expected = loss(whole, union)
    expected.backward()
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.detach(), rtol=1e-13, atol=0)
    for (name, mine), theirs in zip(model.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(
            mine.grad, theirs.grad, rtol=1e-10, atol=1e-13, msg=lambda m, n=name: f"{n}: {m}"
        )
    torch.testing.assert_close(dict(model.named_buffers()), dict(whole.named_buffers()), rtol=1e-13, atol=0)


def _residual(norm: Any) -> nn.Module:
    def conv(channels: int) -> nn.Module:
        return nn.Conv2d(channels, 4, 3, padding=1, bias=False)

    return nn.Sequential(
        conv(3), norm(4), nn.ReLU(inplace=True), Block(conv(4), norm(4), conv(4), norm(4)), nn.Conv2d(4, 2, 1)
    )


_IMAGES = torch.randn(9, 3, 5, 5, dtype=torch.float64)


@pytest.mark.parametrize("sizes", [(3, 3, 3), (1, 6, 2), (9,)], ids=str)
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, normwise.nn.BatchNorm2d], ids=["torch", "ours"])
def test_a_residual_network_is_as_with_one_batch(norm: Any, sizes: tuple[int, ...]) -> None:
    _assert_as_union(_residual(norm), _IMAGES.split(sizes), _IMAGES)


def test_momentum_none_and_layers_without_statistics_are_as_with_one_batch() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=None), nn.BatchNorm2d(4, track_running_stats=False)
    )
    _assert_as_union(model, _IMAGES.chunk(2), _IMAGES)


def test_a_layer_that_is_called_twice_meets_twice() -> None:
    model = nn.Sequential(nn.Linear(3, 3), Twice(normwise.nn.BatchNorm1d(3)))
    x = torch.randn(8, 3, dtype=torch.float64)
    _assert_as_union(model, x.split((3, 5)), x)


class _OfSequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = normwise.nn.SequenceBatchNorm(3, batch_first=True, activation="tanh")
        self.lstm = normwise.nn.BatchNormLSTM(3, 4, batch_first=True, max_length=6)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.lstm(self.norm(x, lengths), lengths=lengths)[0]


def test_masked_and_recurrent_layers_are_as_with_one_batch() -> None:
    x, lengths = torch.randn(6, 5, 3, dtype=torch.float64), torch.tensor([5, 4, 2, 5, 3, 1])
    parts = [(x[:3], lengths[:3]), (x[3:], lengths[3:])]

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return model(*batch).square().sum(2).sum(1).mean()

    _assert_as_union(_OfSequences(), parts, (x, lengths), loss)


class _Transposed(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def test_subclasses_and_accelerated_models_are_as_with_one_batch() -> None:
    x = torch.randn(6, 5, 3, dtype=torch.float64)
    _assert_as_union(nn.Sequential(nn.Linear(3, 3), _Transposed(3)), x.chunk(3), x)
    fast = normwise.accelerate(_residual(nn.BatchNorm2d), _IMAGES.float())[0]
    _assert_as_union(fast, _IMAGES.chunk(3), _IMAGES)


def test_frozen_layers_and_those_in_evaluation_do_not_meet() -> None:
    model: Any = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    normwise.freeze(model[1])
    model[2].eval()
    x = torch.randn(8, 3, dtype=torch.float64)
    _assert_as_union(model, x.chunk(2), x)


def test_gradients_are_added_to_those_that_there_are() -> None:
    model, x = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Tanh()), torch.randn(8, 3)
    backward_of_union(model, x.chunk(2), _square)
    once = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    backward_of_union(model, x.chunk(2), _square)
    for parameter, grad in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * grad, rtol=1e-4, atol=1e-7)


def test_weights_take_the_place_of_shares_of_samples() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Tanh()).double()
    x = torch.randn(8, 3, dtype=torch.float64)
    parts = x.split((2, 6))
    outputs = copy.deepcopy(model)(x).split((2, 6))
    found = backward_of_union(model, parts, _square, weights=(0.75, 0.25))
    torch.testing.assert_close(found, 0.75 * outputs[0].square().mean() + 0.25 * outputs[1].square().mean())


def test_random_draws_are_those_of_the_seed_and_the_callers_stream_goes_on() -> None:
    x, drawn = torch.randn(8, 3), []

    def loss(model: nn.Module, x: Tensor) -> Tensor:
        drawn.append(torch.rand(()).item())
        value = _square(model, x)
        drawn.append(torch.rand(()).item())
        return value

    following = []
    for _ in range(2):
        torch.manual_seed(1)
        backward_of_union(nn.BatchNorm1d(3), x.chunk(2), loss)
        following.append(torch.rand(()).item())
    assert drawn[:4] == drawn[4:]
    assert len(set(drawn[:4])) == 4
    assert following[0] == following[1]


def test_autocast_and_hooks_on_saved_tensors_of_the_caller_hold_in_each_micro_batch() -> None:
    seen, packed = [], []

    def loss(model: nn.Module, x: Tensor) -> Tensor:
        output = model(x)
        seen.append(
            (output.dtype, torch.is_grad_enabled(), threading.current_thread() is threading.main_thread())
        )
        return output.float().square().mean()

    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(lambda x: packed.append(x) or x, lambda x: x),
    ):
        backward_of_union(model, torch.randn(8, 3).chunk(2), loss)
    assert seen == [(torch.bfloat16, True, False)] * 2
    assert len(packed) > 4


def test_micro_batches_take_turns_in_order() -> None:
    order = []

    def loss(model: nn.Module, x: Tensor) -> Tensor:
        order.append(("begin", len(x)))
        value = _square(model, x)
        order.append(("end", len(x)))
        return value

    backward_of_union(nn.BatchNorm1d(3), torch.randn(12, 3).split((3, 4, 5)), loss)
    assert order == [(word, size) for word in ("begin", "end") for size in (3, 4, 5)]


class _Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        layers = (self.first, self.second) if len(x) > 3 else (self.second, self.first)
        return layers[1](layers[0](x)) if len(x) != 5 else layers[0](x)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        (
            (4, 3, 6),
            r"BatchNorm1d 'first': micro-batch 0, 2; BatchNorm1d 'second': micro-batch 1 \(counted from 0\)",
        ),
        ((5, 4), r"the end: micro-batch 0; BatchNorm1d 'second': micro-batch 1"),
        ((4, 5), r"BatchNorm1d 'second': micro-batch 0; the end: micro-batch 1"),
    ],
)
def test_another_order_of_layers_is_an_error_that_names_them(sizes: tuple[int, ...], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        backward_of_union(_Branches(), torch.randn(sum(sizes), 3).split(sizes), _square)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_of_one_micro_batch_ends_all_and_leaves_the_layers_as_they_were(failing: int) -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    parts = torch.randn(9, 3).chunk(3)

    def loss(model: Any, x: Tensor) -> Tensor:
        output = model[0](x)
        if x is parts[failing]:
            raise OSError("no such sample")
        return model[1](output).mean()

    threads = threading.active_count()
    with pytest.raises(OSError, match="no such sample"):
        backward_of_union(model, parts, loss)
    assert threading.active_count() == threads
    assert not any("forward" in vars(layer) for layer in model)
    assert model.get_buffer("1.num_batches_tracked") == 0


def test_inputs_that_are_no_one_batch_are_an_error() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3))
    with pytest.raises(
        ShapeError, match=r"BatchNorm1d '0': .* shape \(2, 3, 4\), shape \(2, 3, 5\).*pad them"
    ):
        backward_of_union(model, [torch.randn(2, 3, 4), torch.randn(2, 3, 5)], _square)


def test_arguments_are_checked() -> None:
    model, x = nn.BatchNorm1d(3), torch.randn(4, 3)
    with pytest.raises(ArgumentError, match="one micro-batch or more"):
        backward_of_union(model, [], _square)
    with pytest.raises(ArgumentError, match="a weight for each of 2 micro-batches, got 1"):
        backward_of_union(model, x.chunk(2), _square, weights=[1.0])
    with pytest.raises(ArgumentError, match="pass weights="):
        backward_of_union(model, ["a", "b"], _square)
    with pytest.raises(ShapeError, match=r"one number, got shape \(2, 3\)"):
        backward_of_union(model, x.chunk(2), lambda model, x: model(x))


class _Checkpointed(nn.Module):
    """Computes its parts anew in the backward pass, one by one; in one batch, for comparison, it does not."""

    def __init__(self, *parts: nn.Module, reentrant: bool = False) -> None:
        super().__init__()
        self.parts, self.reentrant, self.calls = nn.ModuleList(parts), reentrant, 0

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            if threading.current_thread() is threading.main_thread():
                x = part(x)
                continue
            output = checkpoint(self._part, part, x, use_reentrant=self.reentrant)
            assert isinstance(output, Tensor)
            x = output
        return x

    def _part(self, part: nn.Module, x: Tensor) -> Tensor:
        self.calls += 1
        return part(x)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, normwise.nn.BatchNorm2d], ids=["torch", "ours"])
def test_blocks_may_be_computed_anew_in_the_backward_pass(norm: Any) -> None:
    def block() -> nn.Module:
        return Block(nn.Conv2d(4, 4, 3, padding=1), norm(4), nn.Conv2d(4, 4, 3, padding=1), norm(4))

    model = _Checkpointed(nn.Conv2d(3, 4, 3), nn.Sequential(norm(4), nn.ReLU(inplace=True)), block(), block())
    _assert_as_union(model, _IMAGES.split((2, 4, 3)), _IMAGES)
    assert model.calls == 2 * 3 * len(model.parts)


def test_masked_fused_and_repeated_layers_may_be_computed_anew() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(5, 5), normwise.nn.BatchNorm1d(3, activation="silu")

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear(x)
            return torch.tanh(self.norm(x, residual=x, mask=x[:, 0] < 0.5))

    twice = Masked()
    model = _Checkpointed(nn.Linear(5, 5), twice, Masked(), twice)
    x = torch.randn(8, 3, 5, dtype=torch.float64)
    _assert_as_union(model, x.split((3, 5)), x)


@pytest.mark.parametrize(
    ("norm", "reentrant", "text"),
    [
        (lambda: nn.BatchNorm1d(3), True, "use_reentrant=False"),
        (lambda: normwise.nn.GhostBatchNorm1d(3), False, "leave others out"),
        (lambda: _Transposed(3), False, "leave others out"),
    ],
    ids=["reentrant", "ghost", "subclass"],
)
def test_a_layer_that_can_not_be_computed_anew_is_an_error_and_not_wrong(
    norm: Any, reentrant: bool, text: str
) -> None:
    model = _Checkpointed(nn.Sequential(nn.Linear(3, 3), norm(), nn.Tanh()), reentrant=reentrant)
    with pytest.raises(
        ArgumentError, match=rf"'parts.0.1' is called in the backward pass, .* one micro-batch alone.*{text}"
    ):
        backward_of_union(model, torch.randn(8, 3, 3).requires_grad_().chunk(2), _square)
    assert not any("forward" in vars(module) for module in model.modules())


def test_saved_tensors_may_go_elsewhere() -> None:
    model = _residual(nn.BatchNorm2d)
    with torch.autograd.graph.save_on_cpu():
        _assert_as_union(model, _IMAGES.chunk(2), _IMAGES)


def test_parts_without_batch_norm_may_be_checkpointed() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            hidden = checkpoint(lambda x: F.gelu(self.linear(x)), x, use_reentrant=False)
            assert isinstance(hidden, Tensor)
            return self.norm(hidden).tanh()

    x = torch.randn(8, 3, dtype=torch.float64)
    _assert_as_union(Model(), x.chunk(2), x)


def test_a_compiled_model_is_as_with_one_batch() -> None:
    model = nn.Sequential(nn.Linear(3, 3), normwise.nn.BatchNorm1d(3, activation="relu")).double()
    whole, x = copy.deepcopy(model), torch.randn(8, 3, dtype=torch.float64)
    compiled: Any = torch.compile(model, backend="eager")
    compiled(x)
    model.load_state_dict(whole.state_dict())
    backward_of_union(compiled, x.chunk(2), _square)
    _square(whole, x).backward()
    for mine, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(model.state_dict(), whole.state_dict())
