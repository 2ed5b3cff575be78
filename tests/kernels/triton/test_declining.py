"""Calls that the backend declines: what it asks first, and what it remembers of a failure."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from normwise.errors import ArgumentError, BatchNormWarning
from normwise.kernels import Call
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.coverage import Coverage
from normwise.kernels.triton import backend as module
from normwise.kernels.triton.backend import TritonBackend


def backend_that_fails_on(*batches: int) -> TritonBackend:
    """A backend whose plans are stand-ins; those of these sizes of the batch can't be compiled."""

    def build(key: Any) -> Any:
        if key.layout[0] in batches:
            raise RuntimeError("out of registers")
        return SimpleNamespace(device=key.device)

    backend = TritonBackend("cpu")
    backend._plans = SimpleNamespace(ForwardPlan=build, BackwardPlan=build)
    return backend


def call_of(batch: int, **options: Any) -> Call:
    return Call(torch.randn(batch, 3, 5), training=True, **options)


def test_one_call_that_can_not_be_compiled_leaves_the_others_to_the_kernels() -> None:
    backend = backend_that_fails_on(7)
    assert backend.covers(call_of(4))
    with pytest.warns(BatchNormWarning, match="out of registers"):
        assert not backend.covers(call_of(7))
    assert not backend.covers(call_of(7))
    assert backend.covers(call_of(5))
    assert backend.available


def test_a_device_for_which_nothing_was_ever_compiled_is_not_asked_again() -> None:
    backend = backend_that_fails_on(7)
    with pytest.warns(BatchNormWarning, match="out of registers"):
        assert not backend.covers(call_of(7))
    assert not backend.covers(call_of(4))
    assert backend.reason == "Triton can't compile them: out of registers"


def test_kernels_that_are_first_asked_for_in_a_capture_are_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = backend_that_fails_on(7)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_is_capturing", lambda device: True)
        with pytest.raises(ArgumentError, match="run one step of the same shapes and settings before"):
            backend.covers(call_of(7))
    # Nothing is remembered of it.
    backend._plans = backend_that_fails_on()._plans
    assert backend.covers(call_of(7))


def test_plans_of_ragged_batches_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PLANS", 3)
    backend = backend_that_fails_on()
    for batch in range(2, 20):
        assert backend.covers(call_of(batch))
        assert len(backend._known) <= 3


def test_tensors_are_not_copied_where_the_kernels_can_not_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    backend = TritonBackend("cpu")
    residual = torch.randn(5, 3, 4).transpose(0, 2)
    call = call_of(4, residual=residual)
    assert not backend.covers(call)
    assert call.residual is residual


def test_a_momentum_on_a_device_is_left_to_torch() -> None:
    assert not backend_that_fails_on().covers(call_of(4, momentum=torch.tensor(0.1)))


@pytest.mark.parametrize("layout", [(2**31, 1, 2, False), (2**30, 4, 1, True), (2, 2**23, 1, True)], ids=str)
def test_sizes_that_are_not_counted_in_32_bits_are_left_to_torch(layout: tuple[int, int, int, bool]) -> None:
    assert not module._within_limits(layout)


@pytest.mark.parametrize("layout", [(2**18, 64, 2**12, False), (2**29, 64, 1, True)], ids=str)
def test_tensors_of_more_than_32_bits_are_covered(layout: tuple[int, int, int, bool]) -> None:
    assert module._within_limits(layout)


def test_strides_of_an_axis_of_one_element_mean_nothing() -> None:
    x = torch.randn(4, 3, 1, 1)
    grad_y = torch.randn(4, 3, 1, 1).as_strided((4, 3, 1, 1), (3, 1, 7, 9))
    assert grad_y.stride() != x.stride()
    call = BackwardCall(x, None, None, None, None, grad_y, None)
    assert Coverage("cpu", {torch.float32: 4}, [None]).covers_backward(call)
    assert call.grad_y is grad_y
