"""Ours in the place of torch's layer: same outputs, gradients and statistics, batch after batch."""

import pytest
import torch

from normwise import nn
from tests.support.grids import TRAINING, grid
from tests.support.kernels.implementations import PAIRS, each_type
from tests.support.layers import KINDS, new_layer


def pair(kind, **options):
    """Ours and torch's layer with equal parameters and statistics, none of them at its start."""
    ours, theirs = kind.ours(3, **options), new_layer(kind.theirs, 3, **options)
    torch.manual_seed(0)
    for tensor in [*theirs.parameters(), *theirs.buffers()]:
        if tensor.is_floating_point():
            torch.nn.init.uniform_(tensor, 0.5, 2.0)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def step(layer, batch, grad_output):
    x = batch.clone(memory_format=torch.preserve_format).requires_grad_()
    output = layer(x)
    return output, torch.autograd.grad(output, [x, *layer.parameters()], grad_output)


@grid(
    {
        "kind": KINDS,
        ("implementation", "types"): PAIRS,
        "affine": {"affine": True, "plain": False},
        "tracks": {"tracked": True, "untracked": False},
        "momentum": {"0.1": 0.1, "None": None},
        "training": TRAINING,
    }
)
def test_three_batches_equal_torchs(kind, types, affine, tracks, momentum, training, agree):
    ours, theirs = pair(
        kind, affine=affine, momentum=momentum, track_running_stats=tracks, dtype=types.parameters
    )
    ours.train(training)
    theirs.train(training)
    generator = torch.Generator().manual_seed(0)
    # The batches in turn are the subject: statistics carry over from each to the next.
    for mean in (0.0, 3.0, -5.0):
        batch, grad_output = (
            (torch.randn(kind.shape, generator=generator) + shift)
            .to(types.x)
            .contiguous(memory_format=kind.memory_format)
            for shift in (mean, 0.0)
        )
        (got, got_gradients), (expected, gradients) = (
            step(layer, batch, grad_output) for layer in (ours, theirs)
        )
        assert got.stride() == expected.stride()
        assert got.dtype == expected.dtype
        agree((got, got_gradients), (expected, gradients), types.x)

    buffers, theirs_buffers = dict(ours.named_buffers()), dict(theirs.named_buffers())
    if momentum is None and training:
        # The plain average is the one thing that torch's operator does not compute for us: float32 arithmetic
        # around a statistic that the operator has rounded to the buffer's type, three times.
        tolerance = 4 * torch.finfo(types.parameters).eps
        torch.testing.assert_close(buffers, theirs_buffers, rtol=tolerance, atol=tolerance)
    else:
        agree(buffers, theirs_buffers, types.x)


def test_scale_without_bias_equals_torchs(kind, agree):
    ours, theirs = pair(kind, bias=False)
    x, grad_output = torch.randn(kind.shape), torch.randn(kind.shape)
    agree(step(ours, x, grad_output), step(theirs, x, grad_output), x.dtype)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_tracking_switched_off_later_equals_torchs(kind, training, agree):
    # The buffers are still there: training leaves them be, evaluation still normalises with them.
    ours, theirs = pair(kind)
    x, grad_output = torch.randn(kind.shape), torch.randn(kind.shape)
    for layer in (ours, theirs):
        layer.track_running_stats = False
        layer.train(training)
    agree(step(ours, x, grad_output), step(theirs, x, grad_output), x.dtype)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


@each_type(torch.float64, torch.float32)
@pytest.mark.usefixtures("implementation")
def test_plain_average_is_the_average_of_the_batches(dtype):
    layer = nn.BatchNorm1d(2, momentum=None, dtype=dtype)
    batches = torch.randn(5, 7, 2, dtype=dtype)
    for batch in batches:
        layer(batch)
    assert layer.running_mean is not None
    torch.testing.assert_close(layer.running_mean, batches.mean((0, 1)))
    torch.testing.assert_close(layer.running_var, batches.var(1).mean(0))


@pytest.mark.usefixtures("implementation")
def test_batch_of_nothing_is_not_counted():
    # torch counts it, and its plain average then weighs the next batch too little.
    layer, only = nn.BatchNorm1d(2, momentum=None), nn.BatchNorm1d(2, momentum=None)
    batch = torch.randn(6, 2)
    for each in (torch.empty(0, 2), batch):
        layer(each)
    only(batch)
    torch.testing.assert_close(layer.state_dict(), only.state_dict(), rtol=0, atol=0)


def test_successive_calls_in_one_graph_backpropagate_like_torchs(kind, agree):
    # A layer shared by two places of a network: the statistics that the second call moves must not be
    # what the first one saved for its backward pass.
    ours, theirs = pair(kind)
    x = torch.randn(kind.shape)
    gradients = []
    for layer in (ours, theirs):
        leaf = x.clone().requires_grad_()
        gradients.append(torch.autograd.grad(layer(layer(leaf).sin()).pow(3).sum(), leaf))
    agree(*gradients, x.dtype)
