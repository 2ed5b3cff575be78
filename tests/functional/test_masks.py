"""Positions that are not real: whatever they hold, the result is that of the real ones alone."""

import pytest
import torch

from normwise import functional
from tests.support.kernels.implementations import each_type

pytestmark = pytest.mark.usefixtures("implementation")

GARBAGE = [0.0, 6e4, float("inf"), float("-inf"), float("nan")]
TRAINING = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
DTYPES = each_type(torch.float64, torch.float32, torch.bfloat16, torch.float16)
WIDE_DTYPES = each_type(torch.float64, torch.float32)


def sequences(dtype):
    """A batch of four sequences of lengths 5, 3, 0 and 1: input, mask, weight, bias, residual."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    mask = torch.arange(5) < torch.tensor([[5], [3], [0], [1]])
    return random(4, 3, 5) + 2, mask, random(3), random(3), random(4, 3, 5)


def run(x, mask, weight, bias, residual, training=True, grad_output=None, activation: str | None = "gelu"):
    """Output; gradients of x, weight, bias and residual; moved running statistics."""
    leaves = [t.detach().clone().requires_grad_() for t in (x, weight, bias, residual)]
    statistics = torch.full((3,), 0.5, dtype=x.dtype), torch.full((3,), 2.0, dtype=x.dtype)
    output = functional.batch_norm(
        leaves[0],
        *statistics,
        leaves[1],
        leaves[2],
        training,
        activation=activation,
        residual=leaves[3],
        mask=mask,
    )
    if grad_output is None:
        grad_output = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x)
    return [output.detach(), *torch.autograd.grad(output, leaves, grad_output), *statistics]


def real_part(tensor, mask):
    """``(N, C, L)`` to the real positions alone, ``(R, C)``."""
    return tensor.movedim(1, -1)[mask]


@TRAINING
@DTYPES
@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_padding_holds_changes_no_bit(garbage, dtype, training):
    x, mask, weight, bias, residual = sequences(dtype)
    clean = run(x, mask, weight, bias, residual, training)
    padding = ~mask.unsqueeze(1)
    dirty = run(
        x.masked_fill(padding, garbage), mask, weight, bias, residual.masked_fill(padding, garbage), training
    )
    torch.testing.assert_close(dirty, clean, rtol=0, atol=0)


@TRAINING
@DTYPES
def test_result_is_that_of_the_real_positions_alone(dtype, training):
    x, mask, weight, bias, residual = sequences(dtype)
    grad_output = torch.linspace(-1, 1, x.numel(), dtype=dtype).view_as(x)
    masked = run(x, mask, weight, bias, residual, training, grad_output)
    alone = run(
        real_part(x, mask),
        None,
        weight,
        bias,
        real_part(residual, mask),
        training,
        real_part(grad_output, mask),
    )
    got = [real_part(t, mask) if t.dim() == 3 else t for t in masked]
    # Two orders of summation, and torch's x · α + β against our (x - μ) / σ · γ + β.
    tolerance = 16 * torch.finfo(dtype).eps
    torch.testing.assert_close(got, alone, rtol=tolerance, atol=tolerance)


@TRAINING
@WIDE_DTYPES
def test_padding_outputs_and_receives_exactly_zero(dtype, training):
    x, mask, weight, bias, residual = sequences(dtype)
    # sigmoid(0) is 0.5 and the bias is not 0: only the last selection makes padding 0.
    results = run(x, mask, weight, bias, residual, training, activation="sigmoid")
    padding = ~mask
    for tensor in (results[0], results[1], results[4]):
        assert not real_part(tensor, padding).any()
        assert real_part(tensor, mask).all()


@TRAINING
@WIDE_DTYPES
def test_grad_output_of_padding_is_ignored(dtype, training):
    x, mask, weight, bias, residual = sequences(dtype)
    grad_output = torch.randn_like(x)
    clean = run(x, mask, weight, bias, residual, training, grad_output)
    dirty = run(
        x, mask, weight, bias, residual, training, grad_output.masked_fill(~mask.unsqueeze(1), float("nan"))
    )
    torch.testing.assert_close(dirty, clean, rtol=0, atol=0)


@TRAINING
@DTYPES
def test_full_mask_equals_no_mask(dtype, training):
    x, mask, weight, bias, residual = sequences(dtype)
    full = run(x, torch.ones_like(mask), weight, bias, residual, training)
    none = run(x, None, weight, bias, residual, training)
    tolerance = 16 * torch.finfo(dtype).eps
    torch.testing.assert_close(full, none, rtol=tolerance, atol=tolerance)


@TRAINING
@WIDE_DTYPES
def test_more_padding_changes_nothing(dtype, training):
    x, mask, weight, bias, residual = sequences(dtype)

    def padded(tensor, fill):
        rows = torch.nn.functional.pad(tensor, (0, 3), value=fill)
        return torch.cat([rows, torch.full_like(rows[:2], fill)])

    grad_output = torch.randn_like(x)
    short = run(x, mask, weight, bias, residual, training, grad_output)
    long = run(
        padded(x, 9.0),
        padded(mask, False),
        weight,
        bias,
        padded(residual, 9.0),
        training,
        padded(grad_output, 9.0),
    )
    cut = [t[:4, :, :5] if t.dim() == 3 else t for t in long]
    tolerance = 16 * torch.finfo(dtype).eps
    torch.testing.assert_close(cut, short, rtol=tolerance, atol=tolerance)


@DTYPES
def test_no_real_position_gives_zeros_and_moves_nothing(dtype):
    x, mask, weight, bias, residual = sequences(dtype)
    x.fill_(float("nan"))
    *results, mean, var = run(x, torch.zeros_like(mask), weight, bias, residual)
    assert not any(t.any() for t in results)
    assert mean.tolist() == [0.5] * 3
    assert var.tolist() == [2.0] * 3


@DTYPES
def test_one_real_position_is_its_own_mean_and_moves_nothing(dtype):
    x, mask, weight, bias, residual = sequences(dtype)
    one = torch.zeros_like(mask)
    one[1, 2] = True
    output, grad_x, grad_weight, _, grad_residual, mean, var = run(
        x, one, weight, bias, torch.zeros_like(residual), activation=None
    )
    assert real_part(output, one).equal(bias[None])
    # The output is the bias whatever the input is: so no gradient to it, nor to the weight.
    assert not grad_x.any()
    assert not grad_weight.any()
    assert real_part(grad_residual, one).any()
    assert mean.tolist() == [0.5] * 3
    assert var.tolist() == [2.0] * 3


def test_statistics_are_those_of_the_real_positions_by_hand():
    mean, var = torch.zeros(1), torch.ones(1)
    x = torch.tensor([[[1.0, 3.0, 99.0]], [[5.0, 99.0, 99.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    functional.batch_norm(x, mean, var, training=True, momentum=1.0, mask=mask)
    assert mean.item() == pytest.approx(3.0)
    assert var.item() == pytest.approx(4.0)  # (4 + 0 + 4) / (3 - 1)


@TRAINING
@WIDE_DTYPES
def test_mask_may_have_any_layout(dtype, training):
    x, mask, weight, bias, residual = sequences(dtype)
    turned = mask.t().contiguous().t()
    assert not turned.is_contiguous()
    expected = run(x, mask, weight, bias, residual, training)
    torch.testing.assert_close(run(x, turned, weight, bias, residual, training), expected, rtol=0, atol=0)
    shared = mask[:1].expand(4, 5)
    expected = run(x, shared.clone(), weight, bias, residual, training)
    torch.testing.assert_close(run(x, shared, weight, bias, residual, training), expected, rtol=0, atol=0)
