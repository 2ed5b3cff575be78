"""torch's own samples for its BatchNorm layers, run through ours in their place."""

import re

import pytest
import torch
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

from normwise import nn
from tests.support.kernels.implementations import each_type

INFOS = {info.module_cls: info for info in module_db}
#: Our layers in the place of each of torch's: a batch is one virtual batch, a warm-up begins, a process is alone.
PAIRS = [
    *(
        (torch.nn.BatchNorm1d, each)
        for each in (nn.BatchNorm1d, nn.GhostBatchNorm1d, nn.BatchRenorm1d, nn.SyncBatchNorm)
    ),
    *(
        (torch.nn.BatchNorm2d, each)
        for each in (nn.BatchNorm2d, nn.GhostBatchNorm2d, nn.BatchRenorm2d, nn.SyncBatchNorm)
    ),
    *(
        (torch.nn.BatchNorm3d, each)
        for each in (nn.BatchNorm3d, nn.GhostBatchNorm3d, nn.BatchRenorm3d, nn.SyncBatchNorm)
    ),
]


def samples(theirs, dtype=torch.float64, training=True):
    info = INFOS[theirs]
    torch.manual_seed(0)
    return info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=dtype.is_floating_point, training=training
    )


def error_samples(theirs):
    info = INFOS[theirs]
    if info.module_error_inputs_func is None:  # torch before 2.13
        return []
    return info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    )


def indexed(database):
    return [
        pytest.param(theirs, ours, index, id=f"{theirs.__name__}-{ours.__name__}-{index}")
        for theirs, ours in PAIRS
        for index in range(len(database(theirs)))
    ]


def build(cls, sample, dtype, training):
    arguments = sample.constructor_input
    layer = cls(*arguments.args, **arguments.kwargs, dtype=dtype).train(training)
    torch.manual_seed(1)
    for tensor in [*layer.parameters(), *layer.buffers()]:
        if tensor.is_floating_point():
            torch.nn.init.uniform_(tensor, 0.5, 2.0)
    return layer


def run(layer, sample):
    """Output, gradients and state after one call."""
    x = sample.forward_input.args[0]
    output = layer(x)
    leaves = [x, *layer.parameters()]
    gradients = torch.autograd.grad(
        output, leaves, torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x)
    )
    return [output, *gradients], dict(layer.named_buffers())


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@each_type(torch.float32, torch.float64)
@pytest.mark.parametrize(("theirs", "ours", "index"), indexed(samples))
def test_sample_equals_torchs_layer(theirs, ours, index, dtype, training, agree):
    sample = samples(theirs, dtype, training)[index]
    layers = [build(cls, sample, dtype, training) for cls in (ours, theirs)]
    (got, buffers), (expected, torchs_buffers) = (run(layer, sample) for layer in layers)
    agree(got, expected, dtype)
    if sample.forward_input.args[0].numel() == 0:
        # The one difference, and meant: torch counts a batch of nothing.
        torchs_buffers["num_batches_tracked"] -= int(training)
    # The plain average is computed in another order, so not to the last bit.
    exact = layers[0].momentum is not None
    if exact:
        agree(buffers, torchs_buffers, dtype)
    else:
        tolerance = 2 * torch.finfo(dtype).eps
        torch.testing.assert_close(buffers, torchs_buffers, rtol=tolerance, atol=tolerance)
    if sample.reference_fn is not None:
        arguments = sample.forward_input
        expected = sample.reference_fn(layers[0], list(layers[0].parameters()), *arguments.args)
        torch.testing.assert_close(got[0], expected)


@pytest.mark.parametrize(("theirs", "ours", "index"), indexed(error_samples))
def test_error_sample_fails_as_torchs_layer_does(theirs, ours, index):
    sample = error_samples(theirs)[index]
    assert sample.error_on == ModuleErrorEnum.FORWARD_ERROR
    arguments = sample.module_error_input.constructor_input
    layer = ours(*arguments.args, **arguments.kwargs)
    with pytest.raises(sample.error_type, match=sample.error_regex) as caught:
        layer(*sample.module_error_input.forward_input.args)
    # Ours, with the layer's name, and not torch's from further down.
    assert re.match(ours.__name__, str(caught.value))
