"""Under ``torch.func``: where torch's operator may be mapped over a batch of batches, so may ours."""

import pytest
import torch
from torch.func import grad, jacrev, vmap

from normwise import functional


def inputs():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 2, 5, generator=generator, dtype=torch.float64)
    mask = torch.rand(3, 4, 5, generator=generator) < 0.7
    return x, mask


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_vmap_is_the_stack_of_single_calls(masked, training):
    x, mask = inputs()
    # Training moves running statistics in place, which torch refuses for ones shared by the mapped calls.
    mean, var = (None, None) if training else (torch.ones(2).double(), torch.full((2,), 3.0).double())

    def normalise(x, mask):
        return functional.batch_norm(
            x, mean, var, training=training, activation="tanh", residual=x, mask=mask if masked else None
        )

    expected = torch.stack([normalise(*each) for each in zip(x, mask, strict=True)])
    torch.testing.assert_close(vmap(normalise)(x, mask), expected)


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_gradient_per_batch_is_that_of_single_calls(masked):
    x, mask = inputs()

    def loss(x, mask):
        return functional.batch_norm(x, None, None, training=True, mask=mask if masked else None).pow(3).sum()

    expected = torch.stack([grad(loss)(*each) for each in zip(x, mask, strict=True)])
    torch.testing.assert_close(vmap(grad(loss))(x, mask), expected)


def test_jacobian_couples_real_positions_of_a_channel_only():
    x, _ = inputs()
    mask = torch.tensor([True, True, True, False])
    jacobian = jacrev(lambda x: functional.batch_norm(x, None, None, training=True, mask=mask))(x[0, :, :, 0])
    coupled = jacobian.abs() > 1e-12  # (N, C, N, C)
    real = mask[:, None] & mask[None, :]
    expected = real[:, None, :, None] & torch.eye(2, dtype=torch.bool)[None, :, None, :]
    assert coupled.equal(expected)
