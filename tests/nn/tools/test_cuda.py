"""On a GPU the same numbers as on the CPU."""

from contextlib import contextmanager
from functools import partial

import pytest
import torch

from normwise import functional, nn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


KINDS = {
    "plain": nn.BatchNorm2d,
    "ghost": partial(nn.GhostBatchNorm2d, virtual_batch_size=3),
    "renorm": partial(nn.BatchRenorm2d, warmup_steps=0, r_max_steps=0, d_max_steps=0),
    "sync": nn.SyncBatchNorm,
}


def results(device, training, masked, momentum, kind):
    generator = torch.Generator().manual_seed(0)
    layer = kind(3, momentum=momentum, activation="relu", device=device).train(training)
    collected = []
    for _ in range(3):
        x, residual, grad_output = (torch.randn(8, 3, 6, 6, generator=generator) for _ in range(3))
        mask = (torch.rand(8, 6, 6, generator=generator) < 0.7).to(device) if masked else None
        leaves = [x.to(device).requires_grad_(), residual.to(device).requires_grad_(), *layer.parameters()]
        output = layer(leaves[0], residual=leaves[1], mask=mask)
        collected += [output, *torch.autograd.grad(output, leaves, grad_output.to(device))]
    return [tensor.cpu() for tensor in [*collected, *layer.buffers()]]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gpu_equals_cpu(training, masked, momentum, kind):
    torch.testing.assert_close(
        results("cuda", training, masked, momentum, kind),
        results("cpu", training, masked, momentum, kind),
        rtol=1e-4,
        atol=1e-5,
    )


def test_mask_on_another_device_is_refused():
    layer = nn.BatchNorm1d(3, device="cuda")
    with pytest.raises(ValueError, match="the mask is on cpu, the input on cuda:0"):
        layer(torch.randn(4, 3, device="cuda"), mask=torch.ones(4, dtype=torch.bool))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", [nn.BatchNormLSTM, nn.LayerNormLSTM, nn.BatchNormGRU, nn.LayerNormGRU])
def test_recurrent_layers_on_a_gpu_are_those_on_the_cpu(kind, training):
    lengths = torch.tensor([5, 2, 7, 1])
    collected = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        layer = kind(3, 4, 2, bidirectional=True, dtype=torch.float64).to(device).train(training)
        x = (
            torch.linspace(-1, 1, 7 * 4 * 3, dtype=torch.float64)
            .sin()
            .view(7, 4, 3)
            .to(device)
            .requires_grad_()
        )
        output, _ = layer(x, lengths=lengths.to(device))
        output.square().sum().backward()
        tensors = [output, x.grad, *(parameter.grad for parameter in layer.parameters()), *layer.buffers()]
        collected.append([tensor.cpu() for tensor in tensors])
    torch.testing.assert_close(*collected, rtol=1e-9, atol=1e-9)


def test_bn_between_recurrent_layers_on_a_gpu_is_that_on_the_cpu():
    layer = nn.SequenceBatchNorm(3, batch_first=True, dtype=torch.float64)
    x, lengths = torch.randn(4, 5, 3, dtype=torch.float64), torch.tensor([5, 2, 4, 1])
    expected = layer(x, lengths)
    torch.testing.assert_close(layer.cuda()(x.cuda(), lengths).cpu(), expected, rtol=1e-9, atol=1e-9)


def primitives(device):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(8, 3, 6, 6, generator=generator), torch.randn(3, generator=generator)
    mask = torch.rand(8, 6, 6, generator=generator) < 0.7
    x = (100 + x).double().to(device).requires_grad_()
    weight, mask = weight.double().to(device).requires_grad_(), mask.to(device)
    running_mean, running_var = x.new_zeros(3), x.new_ones(3)
    count, mean, variance = functional.moments(x, mask)
    output = functional.normalise(x, mean, (variance + 1e-5).rsqrt(), weight, activation="silu", mask=mask)
    functional.update_running(running_mean, running_var, mean.detach(), variance.detach(), count, 0.1)
    gradients = torch.autograd.grad(output.square().sum(), (x, weight))
    return [tensor.cpu() for tensor in (count, mean, variance, output, running_mean, running_var, *gradients)]


def test_the_three_primitives_on_a_gpu_are_those_on_the_cpu():
    torch.testing.assert_close(primitives("cuda"), primitives("cpu"), rtol=1e-9, atol=1e-9)


@contextmanager
def without_waiting():
    """Let torch raise where the host waits for the device."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inplace", [False, True], ids=["beside", "inplace"])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_a_training_step_never_waits_for_the_gpu(masked, momentum, inplace, dtype):
    activation = "leaky_relu" if inplace else "relu"
    layer = nn.BatchNorm2d(3, momentum=momentum, activation=activation, inplace=inplace, device="cuda")
    x = torch.randn(8, 3, 6, 6, device="cuda", dtype=dtype, requires_grad=True)
    mask = torch.ones(8, 6, 6, dtype=torch.bool, device="cuda") if masked else None
    # Kernels may be compiled at the first call, and their modules loaded.
    layer(2 * x, mask=mask).sum().backward()
    with without_waiting():
        layer(2 * x, mask=mask).sum().backward()


@pytest.mark.parametrize("kind", [nn.BatchNormLSTM, nn.LayerNormLSTM, nn.BatchNormGRU, nn.LayerNormGRU])
def test_a_training_step_of_recurrent_layers_never_waits_for_the_gpu(kind):
    layer, x = kind(3, 4, 2, device="cuda"), torch.randn(7, 4, 3, device="cuda")
    layer(x)[0].sum().backward()
    with without_waiting():
        layer(x)[0].sum().backward()
