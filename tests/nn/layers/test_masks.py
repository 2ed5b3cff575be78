"""Masks over the life of a layer: which batches count, and what they leave in the buffers."""

import pytest
import torch

from normwise import nn

pytestmark = pytest.mark.usefixtures("implementation")

MOMENTUM = pytest.mark.parametrize("momentum", [0.1, None])


def mask_with(kind, true):
    """A mask with that many True, in its last places."""
    mask = torch.zeros(kind.mask_shape, dtype=torch.bool)
    mask.view(-1)[mask.numel() - true :] = True
    return mask


def state(layer):
    return {name: tensor.clone() for name, tensor in layer.state_dict().items()}


@MOMENTUM
@pytest.mark.parametrize("true", [0, 1])
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_batch_without_a_variance_moves_nothing(kind, first, true, momentum):
    layer = kind.ours(3, momentum=momentum)
    if not first:
        layer(torch.randn(kind.shape))
    before = state(layer)
    x = torch.full(kind.shape, float("nan"))
    mask = mask_with(kind, true)
    x[mask.unsqueeze(1).expand(kind.shape)] = 5.0
    x.requires_grad_()
    output = layer(x, mask=mask)
    output.sum().backward()
    torch.testing.assert_close(state(layer), before, rtol=0, atol=0)
    # The bias starts at 0, so zero is what a lone position's output is, too.
    zeros = torch.zeros(kind.shape)
    torch.testing.assert_close(
        (output, x.grad, layer.weight.grad), (zeros, zeros, torch.zeros(3)), rtol=0, atol=0
    )
    assert layer.bias.grad.tolist() == [float(true)] * 3


@MOMENTUM
def test_batches_without_a_variance_leave_no_trace_among_others(kind, momentum):
    torch.manual_seed(0)
    layer, without = kind.ours(3, momentum=momentum), kind.ours(3, momentum=momentum)
    full = [torch.randn(kind.shape) for _ in range(2)]
    layer(torch.randn(kind.shape), mask=mask_with(kind, 0))
    layer(full[0])
    layer(torch.randn(kind.shape), mask=mask_with(kind, 1))
    layer(full[1])
    for batch in full:
        without(batch)
    torch.testing.assert_close(state(layer), state(without), rtol=0, atol=0)


@MOMENTUM
def test_masked_training_leaves_what_the_real_positions_alone_leave(kind, momentum):
    torch.manual_seed(0)
    layer = kind.ours(3, momentum=momentum, dtype=torch.float64)
    alone = nn.BatchNorm1d(3, momentum=momentum, dtype=torch.float64)
    for _ in range(3):
        x = torch.randn(kind.shape, dtype=torch.float64)
        mask = torch.rand(kind.mask_shape) < 0.7
        real = x.movedim(1, -1)[mask]
        torch.testing.assert_close(layer(x, mask=mask).movedim(1, -1)[mask], alone(real))
    torch.testing.assert_close(layer.state_dict(), alone.state_dict())


def test_full_mask_equals_no_mask(kind):
    torch.manual_seed(0)
    masked, plain = kind.ours(3, activation="silu"), kind.ours(3, activation="silu")
    for layer_training in (True, False):
        x = torch.randn(kind.shape).contiguous(memory_format=kind.memory_format)
        output = masked.train(layer_training)(x, mask=mask_with(kind, x.numel() // 3))
        expected = plain.train(layer_training)(x)
        torch.testing.assert_close(output, expected)
        assert output.stride() == expected.stride()
    torch.testing.assert_close(masked.state_dict(), plain.state_dict())


@pytest.mark.parametrize("tracks", [True, False], ids=["tracked", "untracked"])
def test_evaluation_with_a_mask_moves_nothing(kind, tracks):
    layer = kind.ours(3, track_running_stats=tracks).eval()
    before = state(layer)
    mask = mask_with(kind, 4)
    output = layer(torch.randn(kind.shape), mask=mask)
    torch.testing.assert_close(state(layer), before, rtol=0, atol=0)
    assert not output[~mask.unsqueeze(1).expand(kind.shape)].any()
    assert output[mask.unsqueeze(1).expand(kind.shape)].all()


def test_untracked_layer_normalises_evaluation_by_the_real_positions():
    layer = nn.BatchNorm1d(1, track_running_stats=False, eps=1e-12, dtype=torch.float64).eval()
    x = torch.tensor([[1.0], [3.0], [99.0]], dtype=torch.float64)
    output = layer(x, mask=torch.tensor([True, True, False]))
    torch.testing.assert_close(output.flatten(), torch.tensor([-1.0, 1.0, 0.0], dtype=torch.float64))


def test_training_with_padding_reaches_the_weights_of_training_without():
    # Two sequences, padded or not, through a layer and three steps of an optimizer.
    torch.manual_seed(0)
    short = torch.randn(4, 3, 5, dtype=torch.float64)
    long = torch.cat([short, torch.full((4, 3, 2), float("nan"), dtype=torch.float64)], dim=2)
    mask = (torch.arange(7) < 5).expand(4, 7)

    def train(x, mask):
        layer = nn.BatchNorm1d(3, activation="tanh", dtype=torch.float64)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
        for _ in range(3):
            optimizer.zero_grad()
            # Padding's output is 0, and so is its part of this loss.
            layer(x, mask=mask).pow(3).sum().backward()
            optimizer.step()
        return layer.state_dict()

    torch.testing.assert_close(train(long, mask), train(short, None))
