"""A third backend, of one class: what it covers goes to it, and autograd is the one rule of all backends."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from normwise import functional
from normwise.kernels import backend as protocol
from normwise.kernels import dispatch
from normwise.kernels.backward_call import BackwardCall, Gradients
from normwise.kernels.call import Call


class PlainBackend:
    """Inputs (N, C, L) in float64 with ReLU or no activation, as the formulas stand; notes what it is asked for."""

    dispatch_key = "CPU"
    input_types: tuple[torch.dtype, ...] = (torch.float64,)
    name = description = "plain"
    available = True
    reason = ""
    files: Sequence[Path] = ()

    def __init__(self) -> None:
        self.passes: list[str] = []

    def covers(self, call: Call) -> bool:
        plain = call.activation in (None, "relu") and not call.inplace
        return plain and call.x.dtype is torch.float64

    def covers_backward(self, call: BackwardCall) -> bool:
        return call.x.dtype is torch.float64 and call.grad_y.dtype is torch.float64

    def covers_types(self, call: Call) -> bool:
        return False

    def forward(self, call: Call, batch: Tensor | None = None) -> tuple[Tensor, Any]:
        self.passes.append("forward")
        mean, variance = call.running_mean, call.running_var
        if call.training:
            count, mean, variance = functional.moments(call.x, call.mask)
            functional.update_running(
                call.running_mean,
                call.running_var,
                mean,
                variance,
                count,
                call.momentum,
                counter=call.counter,
            )
        assert mean is not None
        assert variance is not None
        saved = mean, (variance + call.eps).rsqrt()
        y = functional.normalise(
            call.x,
            *saved,
            call.weight,
            call.bias,
            activation=call.activation,
            residual=call.residual,
            mask=call.mask,
        )
        return y, saved

    def backward(self, call: BackwardCall) -> Gradients:
        self.passes.append("backward")
        mean, inverse = (value[:, None] for value in call.saved)
        real = torch.ones_like(call.x) if call.mask is None else call.mask[:, None].double()
        normalised = (call.x - mean) * inverse * real
        weight = torch.ones_like(mean) if call.weight is None else call.weight[:, None]
        gradient = call.grad_y * real
        if call.activation == "relu":
            bias = 0 if call.bias is None else call.bias[:, None]
            output = weight * normalised + bias if call.slope_source is None else call.slope_source
            gradient = gradient * (output > 0)
        of_bias, of_weight = gradient.sum((0, 2)), (gradient * normalised).sum((0, 2))
        grad_x = gradient
        if call.training:
            grad_x = gradient - (of_bias[:, None] + normalised * of_weight[:, None]) / real[:, :1].sum()
        of_residual = None if call.slope_source is None else gradient
        return weight * inverse * grad_x * real, of_weight, of_bias, of_residual

    def moments(self, call: Call) -> tuple[int, Tensor, Tensor]:
        self.passes.append("moments")
        count, mean, variance = functional.moments(call.x, call.mask)
        return int(count), mean, variance * count

    def statistics(self, saved: Any) -> Tensor:
        return torch.stack(saved)

    def saved(self, statistics: Tensor) -> Any:
        return statistics.unbind()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> PlainBackend:
    plain = PlainBackend()
    backends: tuple[protocol.Backend, ...] = (*protocol.BACKENDS, plain)
    monkeypatch.setattr(dispatch, "BACKENDS", backends)
    return plain


def _step(training: bool, activation: str | None, added: bool, masked: bool) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, residual, grad_y = torch.randn(3, 4, 3, 5, dtype=torch.float64, generator=generator).unbind()
    weight, bias = torch.randn(2, 3, dtype=torch.float64, generator=generator).unbind()
    running = [torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)]
    mask = torch.rand(4, 5, generator=generator) < 0.7 if masked else None
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias, *([residual] if added else []))]
    y = functional.batch_norm(
        x,
        running[0],
        running[1],
        weight,
        bias,
        training,
        activation=activation,
        residual=residual if added else None,
        mask=mask,
    )
    return [y, *running, *torch.autograd.grad(y, leaves, grad_y)]


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("added", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_step_goes_to_the_first_backend_that_covers_it(
    training: bool, activation: str | None, added: bool, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _step(training, activation, added, masked)
    plain = PlainBackend()
    monkeypatch.setattr(dispatch, "BACKENDS", (*protocol.BACKENDS, plain))
    torch.testing.assert_close(_step(training, activation, added, masked), expected, rtol=1e-9, atol=1e-9)
    assert plain.passes == ["forward", "backward"]


def test_what_no_backend_covers_is_left_to_torchs_operators(plain: PlainBackend) -> None:
    _step(True, "silu", False, False)
    functional.batch_norm(torch.randn(4, 3), None, None, training=True)
    assert plain.passes == []


def test_second_derivatives_of_a_backends_call_are_torchs(plain: PlainBackend) -> None:
    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda x: functional.batch_norm(x, None, None, training=True).square(), x
    )
    assert "forward" in plain.passes


def test_sums_of_channels_are_the_backends(plain: PlainBackend) -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    count, mean, squares = dispatch.channel_sums(x)
    assert (count, plain.passes) == (4, ["moments"])
    torch.testing.assert_close((mean, squares), (x.mean(0), x.var(0, correction=0) * 4))


class PlainGpuBackend(PlainBackend):
    """The same for another kind of device."""

    dispatch_key = "CUDA"
    name, description = "plain-gpu", "Plain 1.0"


def test_what_is_in_use_is_said_for_each_kind_of_device(monkeypatch: pytest.MonkeyPatch) -> None:
    before = protocol.name_in_use()
    cpu = [backend for backend in protocol.BACKENDS if backend.dispatch_key == "CPU"]
    gpu = PlainGpuBackend()
    monkeypatch.setattr(protocol, "BACKENDS", (*cpu, gpu))
    assert protocol.in_use().startswith("CPU: ")
    assert protocol.in_use().endswith("; CUDA: Plain 1.0")
    assert protocol.backends_in_use("CUDA") == (gpu,)
    monkeypatch.setattr(gpu, "available", False)
    monkeypatch.setattr(gpu, "reason", "no CUDA device")
    assert protocol.in_use().endswith("; CUDA: torch's operators (no CUDA device)")
    # Trainings are computed on the CPU: a run goes on whatever GPU there is.
    assert protocol.name_in_use() == before
