"""On a GPU the Triton kernels compute, without a wait for the device, and always the same bits."""

import copy

import pytest
import torch
from torch import Tensor

from normwise import nn
from normwise.kernels import backends_in_use

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.usefixtures("triton_in_use"),
]

#: Shapes of both orders in memory, of channels that one program keeps in registers, and of others.
SHAPES = {
    "planes": ((16, 8, 40, 40), torch.contiguous_format),
    "small planes": ((16, 24, 7, 7), torch.contiguous_format),
    "channels last": ((16, 24, 14, 14), torch.channels_last),
    "(N, C)": ((60, 100), torch.contiguous_format),
    "many rows": ((4096, 19), torch.contiguous_format),
}


@pytest.fixture
def triton_in_use() -> None:
    if not backends_in_use("CUDA"):
        pytest.skip("the Triton kernels are not used here")


def layer_and_input(name: str, dtype: torch.dtype = torch.float32) -> tuple[torch.nn.Module, Tensor]:
    shape, memory_format = SHAPES[name]
    torch.manual_seed(0)
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    x = torch.randn(shape, device="cuda", dtype=dtype).contiguous(memory_format=memory_format)
    return kind(shape[1], activation="relu", device="cuda"), x


def step(layer: torch.nn.Module, x: Tensor) -> list[Tensor]:
    given = x.detach().requires_grad_()
    y = layer(given)
    return [y, *torch.autograd.grad(y, [given, *layer.parameters()], x)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_a_step_is_that_of_float64(name: str, dtype: torch.dtype) -> None:
    layer, x = layer_and_input(name, dtype)
    exact = copy.deepcopy(layer).double().cpu()
    got = [tensor.double().cpu() for tensor in (*step(layer, x), *layer.buffers())]
    expected = [tensor.double() for tensor in (*step(exact, x.double().cpu()), *exact.buffers())]
    tolerance = 64 * torch.finfo(dtype).eps
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", SHAPES)
def test_the_output_keeps_the_order_in_memory(name: str) -> None:
    layer, x = layer_and_input(name)
    assert layer(x).stride() == x.stride()


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_bits_come_out_each_time(name: str) -> None:
    layer, x = layer_and_input(name)
    first = step(layer, x)
    for _ in range(5):
        for again, expected in zip(step(layer, x), first, strict=True):
            assert torch.equal(again, expected)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_nothing_waits_for_the_device(training: bool, masked: bool, momentum: float | None) -> None:
    layer = nn.BatchNorm2d(8, momentum=momentum, activation="silu", device="cuda").train(training)
    x = torch.randn(4, 8, 30, 30, device="cuda", requires_grad=True)
    mask = torch.rand(4, 30, 30, device="cuda") < 0.7 if masked else None
    layer(x, residual=x, mask=mask).sum().backward()
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        layer(x, residual=x, mask=mask).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("name", SHAPES)
def test_a_captured_step_replays_as_it_ran(name: str) -> None:
    layer, x = layer_and_input(name)
    eager = copy.deepcopy(layer)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step(copy.deepcopy(layer), x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(layer, x)
    for seed in range(3):
        torch.manual_seed(seed)
        x.copy_(torch.randn_like(x))
        graph.replay()
        for got, expected in zip(captured, step(eager, x), strict=True):
            assert torch.equal(got, expected)
    for got, expected in zip(layer.buffers(), eager.buffers(), strict=True):
        assert torch.equal(got, expected)


def test_two_streams_do_not_meet() -> None:
    layer, x = layer_and_input("planes")
    inputs = [x + shift for shift in range(4)]
    expected = [step(copy.deepcopy(layer), one) for one in inputs]
    torch.cuda.synchronize()
    streams, got = [torch.cuda.Stream() for _ in inputs], []
    for stream, one in zip(streams, inputs, strict=True):
        with torch.cuda.stream(stream):
            got.append(step(copy.deepcopy(layer), one))
    torch.cuda.synchronize()
    for tensors, wanted in zip(got, expected, strict=True):
        for tensor, exact in zip(tensors, wanted, strict=True):
            assert torch.equal(tensor, exact)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device")
def test_a_layer_on_another_device_than_the_current_one() -> None:
    layer, x = layer_and_input("planes")
    there = copy.deepcopy(layer).to("cuda:1")
    for got, expected in zip(step(there, x.to("cuda:1")), step(layer, x), strict=True):
        assert got.device == torch.device("cuda:1")
        torch.testing.assert_close(got.cpu(), expected.cpu())


def test_in_place_one_activation_is_kept() -> None:
    def kept(inplace: bool) -> int:
        torch.manual_seed(0)
        layer = nn.BatchNorm2d(16, activation="leaky_relu", inplace=inplace, device="cuda")
        x = torch.randn(32, 16, 64, 64, device="cuda", requires_grad=True)
        layer(x * 1).sum().backward()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        y = layer(x * 1)
        torch.cuda.synchronize()
        after = torch.cuda.memory_allocated()
        del y
        return after - before

    size = 32 * 16 * 64 * 64 * 4
    assert kept(inplace=True) < 1.1 * size
    assert kept(inplace=False) > 1.9 * size


@pytest.mark.parametrize("name", SHAPES)
def test_a_compiled_graph_has_the_numbers_of_the_layer(name: str) -> None:
    layer, x = layer_and_input(name)
    again = copy.deepcopy(layer)
    torch.compiler.reset()
    compiled = torch.compile(again, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(step(compiled, x), step(layer, x))  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(again.state_dict(), layer.state_dict())


@pytest.mark.large
def test_more_than_two_to_the_thirty_one_elements() -> None:
    x = torch.ones(2**15, 2, 2**15 + 32, device="cuda", dtype=torch.bfloat16)
    x[-1, 1] = -1.0
    layer = nn.BatchNorm1d(2, device="cuda")
    with torch.no_grad():
        y = layer(x)
    share = 1.0 / 2**15
    mean, variance = 1.0 - 2.0 * share, 4.0 * share * (1.0 - share)
    assert layer.running_mean is not None
    torch.testing.assert_close(layer.running_mean.cpu(), torch.tensor([0.1, 0.1 * mean]))
    expected = (-1.0 - mean) / (variance + layer.eps) ** 0.5
    torch.testing.assert_close(
        y[-1, 1].float().cpu(), torch.full((x.shape[2],), expected), rtol=0.01, atol=0.0
    )
