"""Calls that Triton can't compute: torch's operators do, with one warning that says why, and nothing moves twice."""

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from normwise.errors import BatchNormWarning
from normwise.kernels import Call, dispatch
from normwise.kernels.call import Call as CallType
from normwise.kernels.triton import backend as module
from normwise.kernels.triton.backend import TritonBackend


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> TritonBackend:
    backend = TritonBackend("cpu")
    monkeypatch.setattr(dispatch, "BACKENDS", (backend,))
    return backend


def _step() -> list[Tensor]:
    x, grad_y = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0)).unbind()
    x.requires_grad_()
    mean, var, counter = torch.zeros(3), torch.ones(3), torch.tensor(0)
    y = dispatch.batch_norm(Call(x, mean, var, training=True, activation="relu", counter=counter))
    return [y.detach(), mean, var, counter, *torch.autograd.grad(y, [x], grad_y)]


def _expected(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "BACKENDS", ())
        return _step()


def _refuse(*_: Any) -> Any:
    raise ImportError("no module of such a name")


class ForwardPlan:
    """A forward pass by torch's operators."""

    def __init__(self, key: Any) -> None:
        self.device = key.device

    def run(self, call: CallType, batch: Tensor | None) -> tuple[Tensor, Tensor]:
        x, mean, var = call.x, call.running_mean, call.running_var
        again = Call(x.detach(), mean, var, training=True, activation=call.activation, counter=call.counter)
        inverse = (x.var((0, 2), correction=0) + 1e-5).rsqrt()
        saved = torch.stack([x.mean((0, 2)), inverse]).detach().double()
        return dispatch.torch_backend.batch_norm(again), saved


PLANS = {
    "forward": SimpleNamespace(ForwardPlan=_refuse, BackwardPlan=_refuse),
    "backward": SimpleNamespace(ForwardPlan=ForwardPlan, BackwardPlan=_refuse),
}


def _two_steps(reason: str) -> list[Tensor]:
    with pytest.warns(BatchNormWarning, match=reason):
        first = _step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for again, once in zip(_step(), first, strict=True):
            assert torch.equal(again, once)
    return first


def test_triton_that_fails_to_import(triton: TritonBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _expected(monkeypatch)
    monkeypatch.setattr(module, "import_module", _refuse)
    found = _two_steps(
        "torch's operators compute instead: Triton can't be imported: no module of such a name"
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not triton.available
    assert "no module of such a name" in triton.reason


@pytest.mark.parametrize("which", PLANS)
def test_kernels_that_fail_to_compile(
    which: str, triton: TritonBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _expected(monkeypatch)
    triton._plans = PLANS[which]
    found = _two_steps("Triton can't compile them: no module of such a name")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert found[3] == 1
    assert "NORMWISE_KERNELS" not in triton.reason


def _declines_in_silence(backend: TritonBackend) -> bool:
    call = Call(torch.randn(4, 3), training=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return not backend.covers(call) and not backend.available


def test_triton_that_is_not_installed(triton: TritonBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert _declines_in_silence(triton)
    assert triton.reason == "Triton is not installed"


def test_kernels_that_are_turned_off(triton: TritonBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMWISE_KERNELS", "torch")
    assert _declines_in_silence(triton)
    assert triton.reason == "turned off by NORMWISE_KERNELS=torch"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_device() -> None:
    backend = TritonBackend()
    assert _declines_in_silence(backend)
    assert backend.reason == "no CUDA device"
