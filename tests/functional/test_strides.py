"""Axes of size 1 with a stride of their own, where torch's backward pass mistakes the layout."""

import pytest
import torch
from torch.func import vmap

from normwise import functional

SHAPES = [
    (2, 3, 1, 4),
    (2, 3, 4, 1),
    (1, 3, 4, 5),
    (1, 3, 1, 5),
    (2, 1, 3, 1),
    (1, 3, 1, 4, 5),
    (2, 3, 4, 1, 1),
]


def channels_last(tensor):
    return tensor.contiguous(
        memory_format=torch.channels_last if tensor.dim() == 4 else torch.channels_last_3d
    )


def odd_stride(shape):
    """A channels-last tensor whose axes of size 1 have a stride that no other axis gives reason for."""
    tensor = channels_last(torch.randn(shape, dtype=torch.float64))
    strides = [99 if size == 1 else stride for size, stride in zip(shape, tensor.stride(), strict=True)]
    return tensor.as_strided(shape, strides)


def run(x, grad_output, training, momentum: float | torch.Tensor = 0.1):
    channels = x.shape[1]
    mean, var = torch.ones(channels).double(), torch.full((channels,), 3.0).double()
    leaf, weight = x.detach().requires_grad_(), torch.full((channels,), 2.0).double().requires_grad_()
    output = functional.batch_norm(leaf, mean, var, weight, training=training, momentum=momentum)
    return output, *torch.autograd.grad(output, [leaf, weight], grad_output), mean, var


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("momentum", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
@pytest.mark.parametrize(
    "gradient", [torch.Tensor.contiguous, channels_last], ids=["contiguous", "channels_last"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_do_not_depend_on_strides(shape, gradient, momentum, training):
    x, grad_output = odd_stride(shape), gradient(torch.randn(shape, dtype=torch.float64))
    plain = x.clone(memory_format=torch.contiguous_format), grad_output.contiguous()
    torch.testing.assert_close(
        run(x, grad_output, training, momentum), run(*plain, training, momentum), rtol=1e-10, atol=1e-10
    )


def test_one_image_with_its_channels_last_trains_on_its_own():
    # How it is met: an image as files hold it, (H, W, C), made a batch, and a head that flattens.
    torch.manual_seed(0)
    image = torch.randn(4, 5, 3, dtype=torch.float64).permute(2, 0, 1).unsqueeze(0)
    head = torch.randn(60, dtype=torch.float64)
    gradients = []
    for x in (image, image.clone(memory_format=torch.contiguous_format)):
        leaf = x.detach().requires_grad_()
        output = functional.batch_norm(leaf, None, None, training=True)
        gradients.append(torch.autograd.grad(output.flatten(1) @ head, leaf, torch.ones(1).double())[0])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 1, 5)])
def test_regular_layouts_are_not_copied(shape):
    # A copy would be the first function of the graph.
    x = channels_last(torch.randn(shape)).requires_grad_()
    output = functional.batch_norm(x, None, None, training=True)
    assert output.grad_fn is not None
    first = output.grad_fn.next_functions[0][0]
    assert first is not None
    assert "AccumulateGrad" in first.name()


def test_vmap_accepts_odd_strides():
    x = torch.stack([odd_stride((2, 3, 1, 4)) for _ in range(3)], dim=-1).movedim(-1, 0)
    expected = torch.stack([functional.batch_norm(each, None, None, training=True) for each in x])
    torch.testing.assert_close(
        vmap(lambda x: functional.batch_norm(x, None, None, training=True))(x), expected
    )
