"""The digits that a model computes with."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normwise.surgery.proof import digits
from normwise.surgery.proof.digits import epsilon_of_computation, epsilon_of_float32

FLOAT32, BFLOAT16, TF32 = 2.0**-23, 2.0**-7, 2.0**-10
X = torch.ones(2, 3)


class Entering(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(input).float()


class Failing(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        raise RuntimeError


def epsilon(model: nn.Module, x: Tensor = X) -> float:
    return epsilon_of_computation(model, False, ((x,), {}))


def test_a_model_has_the_digits_of_its_parameters() -> None:
    assert epsilon(nn.Linear(3, 3)) == FLOAT32
    assert epsilon(nn.Linear(3, 3).bfloat16(), X.bfloat16()) == BFLOAT16
    assert epsilon(nn.Linear(3, 3).double(), X.double()) == 2.0**-52


def test_autocast_around_the_call_counts() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert epsilon(nn.Linear(3, 3)) == BFLOAT16
    with torch.autocast("cpu", torch.float16):
        assert epsilon(nn.Linear(3, 3)) == 2.0**-10


def test_autocast_that_the_model_enters_counts() -> None:
    assert epsilon(Entering(3, 3)) == BFLOAT16


def test_a_model_that_fails_has_the_digits_of_autocast_around_it() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert epsilon(Failing(3, 3)) == BFLOAT16
    assert epsilon(Failing(3, 3)) == FLOAT32


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("convolution", "conv"),
        ("addmm", "matmul"),
        ("bmm", "matmul"),
        ("_scaled_dot_product_efficient_attention", "matmul"),
        ("_cudnn_rnn", "rnn"),
    ],
)
def test_tf32_is_asked_of_the_setting_of_the_operator(
    operator: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        digits, "_precision", lambda of, device: "tf32" if (of, device) == (kind, "cuda") else "ieee"
    )
    assert epsilon_of_float32(operator, "cuda") == TF32
    assert epsilon_of_float32(operator, "cpu") == FLOAT32
    assert epsilon_of_float32("add", "cuda") == FLOAT32


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_of_convolutions_is_torchs_setting(allowed: bool) -> None:
    with torch.backends.cudnn.flags(allow_tf32=allowed):
        assert epsilon_of_float32("convolution", "cuda") == (TF32 if allowed else FLOAT32)


@pytest.mark.parametrize(("precision", "expected"), [("highest", FLOAT32), ("high", TF32)])
def test_tf32_of_products_is_torchs_setting(precision: str, expected: float) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert epsilon_of_float32("mm", "cuda") == expected
    finally:
        torch.set_float32_matmul_precision(before)


class _Settings:
    """Settings of torch, as releases before 2.9 have them."""

    def __init__(self, **settings: Any) -> None:
        vars(self).update(settings)


@pytest.mark.parametrize("allowed", [True, False])
def test_settings_of_torch_2_8_are_read(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    old = _Settings(
        cuda=_Settings(matmul=_Settings(allow_tf32=allowed)),
        cudnn=_Settings(allow_tf32=allowed),
        mkldnn=_Settings(),
    )
    monkeypatch.setattr(torch, "backends", old)
    expected = TF32 if allowed else FLOAT32
    assert epsilon_of_float32("convolution", "cuda") == expected
    assert epsilon_of_float32("mm", "cuda") == expected
    assert epsilon_of_float32("mm", "cpu") == FLOAT32
    assert epsilon_of_float32("mm", "mps") == FLOAT32


def test_tf32_counts_in_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "_precision", lambda kind, device: "tf32" if kind == "conv" else "ieee")
    assert epsilon(nn.Conv1d(3, 3, 1), torch.ones(2, 3, 4)) == TF32
    assert epsilon(nn.Linear(3, 3)) == FLOAT32
