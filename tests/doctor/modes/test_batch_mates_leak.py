"""BN306: functional calls by the batch that tell of batch mates, and those that don't."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise


class _Standardised(nn.Conv2d):
    """A convolution whose weights are standardised by ``batch_norm``, as timm's are."""

    def forward(self, input: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True).reshape_as(self.weight)
        return F.conv2d(input, weight, self.bias)


class _OnePerSample(nn.Module):
    """Instance norm by a ``batch_norm`` whose channels are those of all samples."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(1, -1, *x.shape[2:])
        return F.batch_norm(flat, None, None, training=True).reshape_as(x)


class _ByBatch(nn.BatchNorm2d):
    """A layer that normalises by the batch in any mode."""

    def forward(self, input: Tensor) -> Tensor:
        return F.batch_norm(input, None, None, self.weight, self.bias, training=True)


class _Random(nn.Module):
    """Dropout that forgets the mode."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.3)


def _codes(model: nn.Module) -> list[tuple[str, str]]:
    torch.manual_seed(0)
    findings = normwise.diagnose(
        model.eval(), [torch.randn(8, 3, 6, 6)], select=["BN301", "BN304", "BN306"]
    ).findings
    return [(one.code, one.symptoms[0].path) for one in findings]


def _around(*modules: Any) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *modules, nn.Flatten(), nn.Linear(64, 2))


def test_a_layer_with_a_forward_of_its_own_that_goes_by_the_batch_is_named() -> None:
    assert _codes(_around(_ByBatch(4))) == [("BN306", "2")]


def test_standardised_weights_and_instance_norm_are_no_leak() -> None:
    assert _codes(_around(nn.Identity())) == []
    assert _codes(_around(_OnePerSample())) == []
    assert _codes(nn.Sequential(_Standardised(3, 4, 3), nn.BatchNorm2d(4))) == []


def test_outputs_that_differ_for_another_reason_are_no_leak() -> None:
    assert _codes(_around(_Random())) == []


def test_a_hook_that_puts_the_model_into_training_is_seen_in_its_layers() -> None:
    model = _around(nn.Identity())
    model.register_forward_pre_hook(lambda module, args: module.train() and None)
    assert _codes(model) == [("BN306", "1")]


def test_a_batch_of_one_tells_nothing() -> None:
    model = _around(_ByBatch(4)).eval()
    assert normwise.diagnose(model, [torch.randn(1, 3, 6, 6)], select=["BN306"]).findings == ()


class _Touching(nn.Module):
    """Lets batch mates move the outputs by a hundredth of their scatter."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.03 * F.batch_norm(x, None, None, training=True)


def test_what_rounding_could_move_is_a_leak_in_float32_alone() -> None:
    model = _around(_Touching())
    assert _codes(model) == [("BN306", "2")]
    with torch.autocast("cpu", torch.bfloat16):
        assert _codes(model) == []


def test_a_leak_is_found_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert _codes(_around(_ByBatch(4))) == [("BN306", "2")]
