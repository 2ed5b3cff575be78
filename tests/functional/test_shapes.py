"""Any shape, down to none and one of everything, in any layout in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from normwise import functional, reference
from normwise.errors import ShapeError

SHAPES = st.tuples(
    st.integers(0, 4), st.integers(1, 3), st.lists(st.integers(0, 3), max_size=3).map(tuple)
).map(lambda parts: (parts[0], parts[1], *parts[2]))


def transposed(shape):
    return torch.randn(shape[::-1], dtype=torch.float64).permute(*reversed(range(len(shape))))


def strided(shape):
    return torch.randn([2 * size + 1 for size in shape], dtype=torch.float64)[
        tuple(slice(1, None, 2) for _ in shape)
    ]


def expanded(shape):
    return torch.randn((1, *shape[1:]), dtype=torch.float64).expand(shape)


def contiguous(shape):
    return torch.randn(shape, dtype=torch.float64)


LAYOUTS = st.sampled_from([contiguous, transposed, strided, expanded])


def run(function, x, training, **options):
    leaf = x.detach().requires_grad_()
    statistics = [torch.full((x.shape[1],), value, dtype=x.dtype) for value in (0.5, 2.0)]
    output = function(leaf, *statistics, training=training, **options)
    weights = torch.linspace(-1, 1, output.numel(), dtype=x.dtype).view(output.shape)
    (gradient,) = torch.autograd.grad(output, leaf, weights)
    return output.detach(), gradient, *statistics


@settings(deadline=None, max_examples=50)
@given(SHAPES, LAYOUTS, st.booleans())
def test_any_shape_and_layout_is_torchs_or_fails_where_torch_fails(shape, layout, training):
    x = layout(shape)
    if training and x.numel() == x.shape[1]:
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
            run(F.batch_norm, x, training)
        with pytest.raises(ShapeError, match="expected more than 1 value per channel when training"):
            run(functional.batch_norm, x, training)
        return
    # A contiguous copy for torch: test_strides.py has the layouts in which its gradients are wrong.
    expected = run(F.batch_norm, x.clone(memory_format=torch.contiguous_format), training)
    got = run(functional.batch_norm, x, training)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10, equal_nan=True)
    by_torch = F.batch_norm(
        x, torch.ones(shape[1]).double(), torch.ones(shape[1]).double(), training=training
    )
    # The order in memory is torch's; an axis of size 1 has none.
    strides = zip(shape, got[0].stride(), by_torch.stride(), strict=True)
    assert all(size == 1 or ours == theirs for size, ours, theirs in strides)


@settings(deadline=None, max_examples=50)
@given(SHAPES, LAYOUTS, st.booleans(), st.integers(0, 2**16))
def test_any_shape_and_layout_with_a_mask_is_the_oracles(shape, layout, training, seed):
    x = layout(shape)
    mask = np.random.default_rng(seed).random((shape[0], *shape[2:])) < 0.6
    output, gradient, running_mean, running_var = run(
        functional.batch_norm, x, training, mask=torch.from_numpy(mask)
    )
    channels = np.ones(shape[1])
    expected = reference.batch_norm(x.numpy(), 0.5 * channels, 2 * channels, training=training, mask=mask)
    weights = np.linspace(-1, 1, x.numel()).reshape(shape)
    wanted = reference.batch_norm_backward(expected, weights).x
    assert expected.running_mean is not None
    assert expected.running_var is not None
    np.testing.assert_allclose(output, expected.output, atol=1e-10)
    np.testing.assert_allclose(gradient, wanted, atol=1e-10 * float(expected.inv_std.max()))
    np.testing.assert_allclose(running_mean, expected.running_mean, rtol=1e-12)
    np.testing.assert_allclose(running_var, expected.running_var, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1)])
@pytest.mark.parametrize("masked", [False, True])
def test_one_value_per_channel_is_fine_in_evaluation(shape, masked):
    mask = torch.ones(shape[:1] + shape[2:], dtype=torch.bool) if masked else None
    output = functional.batch_norm(
        torch.full(shape, 5.0), torch.ones(3), torch.full((3,), 4.0), eps=0.0, mask=mask
    )
    torch.testing.assert_close(output, torch.full(shape, 2.0))


@pytest.mark.parametrize("real", [True, False])
def test_one_value_per_channel_is_no_error_under_a_mask(real):
    # Padding a batch by a row, all masked, must not turn an error into a result.
    output = functional.batch_norm(
        torch.randn(1, 3), None, None, bias=torch.full((3,), 7.0), training=True, mask=torch.tensor([real])
    )
    assert output.tolist() == [[7.0 if real else 0.0] * 3]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0), (2, 3, 0, 4)])
def test_empty_batch_gives_an_empty_output_and_moves_no_statistics(shape, masked):
    mask = torch.ones(shape[:1] + shape[2:], dtype=torch.bool) if masked else None
    x = torch.empty(shape, requires_grad=True)
    weight = torch.ones(3, requires_grad=True)
    mean, var = torch.full((3,), 0.5), torch.full((3,), 2.0)
    output = functional.batch_norm(x, mean, var, weight, training=True, mask=mask)
    output.sum().backward()
    assert output.shape == shape
    assert weight.grad is not None
    assert weight.grad.tolist() == [0.0] * 3
    assert mean.tolist() == [0.5] * 3
    assert var.tolist() == [2.0] * 3
