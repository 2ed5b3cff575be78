"""The formulas that Inductor sees in place of the operator on a CPU."""

import copy
import shutil

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from normwise import nn
from normwise.kernels.backend import BACKENDS
from normwise.kernels.inductor import decomposition, registration
from tests.support.grids import grid

pytestmark = pytest.mark.usefixtures("kernels", "compiler_caches_cleared")

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="Inductor needs a C++ compiler"
)
ACTIVATIONS = (None, "relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "sigmoid", "tanh")


def passes(forward, backward, x, weight, bias, residual, grad_y, activation) -> dict[str, torch.Tensor]:
    """Output, statistics and gradients; the layout of the first two must be the input's."""
    y, saved, batch = forward(x, weight, bias, residual, None, 1e-5, activation)
    source = None
    if residual is not None and activation is not None:
        source = y if activation == "relu" else residual
    gradients = backward(x, weight, bias, saved, source, grad_y, None, activation)
    assert y.stride() == gradients[0].stride() == x.stride()
    names = ("y", "saved", "batch", "x", "weight", "bias", "residual")
    return dict(zip(names, (y, saved, batch, *gradients), strict=True))


def tensors(shape, dtype, channels_last=False):
    generator = torch.Generator().manual_seed(0)
    x, residual, grad_y = (torch.randn(shape, generator=generator).to(dtype) for _ in range(3))
    if channels_last:
        x, residual, grad_y = (
            tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, residual, grad_y)
        )
    weight, bias = torch.randn(2, shape[1], generator=generator)
    return x, weight, bias, residual, grad_y


@grid(
    {
        "activation": {str(name): name for name in ACTIVATIONS},
        "added": {"alone": False, "residual": True},
        "affine": {"affine": True, "plain": False},
        "dtype": {"float32": torch.float32, "bfloat16": torch.bfloat16},
        ("shape", "channels_last"): {
            "NC": ((40, 6), False),
            "NCL": ((5, 6, 7), False),
            "NCHW": ((5, 6, 7, 8), False),
            "NHWC": ((5, 6, 7, 8), True),
            "NCDHW": ((3, 6, 2, 3, 4), False),
        },
    },
    strength=2,
)
def test_formulas_are_the_operator(activation, added, affine, dtype, shape, channels_last):
    x, weight, bias, residual, grad_y = tensors(shape, dtype, channels_last)
    arguments = (
        x,
        weight if affine else None,
        bias if affine else None,
        residual if added else None,
        grad_y,
        activation,
    )
    operator = torch.ops.normwise
    expected = passes(operator.batch_norm, operator.batch_norm_backward, *arguments)
    found = passes(decomposition.forward, decomposition.backward, *arguments)
    # One unit of the type, where a sum that is rounded falls on the other side.
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    for name, tensor in expected.items():
        exact = name in ("saved", "batch", "weight", "bias")
        scale = float(tensor.abs().max()) if tensor.numel() else 1.0
        torch.testing.assert_close(
            found[name],
            tensor,
            rtol=tolerance,
            atol=max(scale, 1.0) * (1e-5 if exact else tolerance),
            msg=name,
        )


@pytest.mark.parametrize("channels_last", [False, True])
def test_mean_of_a_million_deviations_loses_nothing(channels_last):
    x, weight, bias, _, grad_y = tensors((32, 6, 14, 14), torch.float32, channels_last)
    x += 1e6
    arguments = weight, bias, None, grad_y, "relu"
    found = passes(decomposition.forward, decomposition.backward, x, *arguments)
    layer = torch.nn.BatchNorm2d(6, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    wide = x.double().requires_grad_()
    y = layer(wide).relu()
    y.backward(grad_y.double())
    for name, expected in {
        "y": y,
        "x": wide.grad,
        "weight": layer.weight.grad,
        "bias": layer.bias.grad,
    }.items():
        assert expected is not None
        error = (found[name].double() - expected).abs().max() / expected.abs().max()
        assert error < 3e-6, name


@pytest.mark.parametrize("where", [0, -1])
@pytest.mark.parametrize("shape", [(64, 3, 8, 8), (1, 3, 64, 64)], ids=str)
def test_outlier_in_the_part_whose_mean_is_taken_off_and_outside(shape, where):
    x = tensors(shape, torch.float32)[0]
    x[where, :, where, 0] = 1e6
    _, saved, batch = decomposition.forward(x, None, None, None, None, 1e-5, None)
    variance = x.double().var((0, 2, 3))
    torch.testing.assert_close(batch[1], variance, rtol=3e-6, atol=0)
    torch.testing.assert_close(saved[0], x.double().mean((0, 2, 3)), rtol=1e-5, atol=1e-5)


def test_constant_channel_has_no_variance():
    x = torch.full((32, 2, 4, 4), 1234.567)
    _, _, batch = decomposition.forward(x, None, None, None, None, 1e-5, None)
    torch.testing.assert_close(batch[1], torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-9)


def test_slope_of_relu_is_that_of_the_formula_for_all_neighbours():
    generator = torch.Generator().manual_seed(0)
    shift = torch.tensor([0.0, 1.0, 1e6, -1e6, 3e-3] * 40)
    scale, start = torch.randn(2, 200, generator=generator, dtype=torch.float64)
    scale[:5], start[5:10] = 0.0, 0.0
    sign, bound = decomposition._condition(shift, scale, start)
    x = torch.where(scale == 0, shift, shift.double() - start / scale).float()
    for towards in (-torch.inf, torch.inf):
        neighbour = x
        for _ in range(4):
            z = (neighbour.double() - shift.double()) * scale + start
            # Nearer than double can tell.
            clear = (z.abs() > 1e-14) | (scale == 0)
            assert torch.equal((sign * neighbour <= bound)[clear], (z <= 0)[clear])
            neighbour = torch.nextafter(neighbour, torch.full_like(neighbour, towards))


def test_gradient_that_is_no_number_stops_where_the_relu_does():
    # As torch's own: selected, not multiplied.
    x, weight, bias, residual, grad_y = tensors((4, 3, 5, 5), torch.float32)
    y, saved, _ = decomposition.forward(x, weight, bias, residual, None, 1e-5, "relu")
    grad_y[y <= 0] = torch.nan
    gradients = decomposition.backward(x, weight, bias, saved, y, grad_y, None, "relu")
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_operator_stays_for_masks_empty_batches_and_gpus():
    x, mask = torch.randn(4, 3, 5), torch.ones(4, 5, dtype=torch.bool)
    saved = torch.ones(2, 3, dtype=torch.float64)
    with FakeTensorMode():
        on_gpu = torch.empty(4, 3, 5, device="cuda")
    for given, real in ((x, mask), (x[:0], None), (on_gpu, None)):
        forward = decomposition.forward(given, None, None, None, real, 1e-5, None)
        backward = decomposition.backward(given, None, None, saved, None, given, real, None)
        assert forward is backward is NotImplemented


class Net(torch.nn.Module):
    """Norms in front of a convolution and at the end, with a residual and without."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(6, 6, 3, padding=1)
        self.first = nn.BatchNorm2d(6, activation="relu")
        self.second = nn.BatchNorm2d(6, activation="silu", momentum=None)
        self.third = nn.BatchNorm2d(6, activation="relu", affine=False)

    def forward(self, x):
        y = self.second(self.conv(self.first(x)))
        return self.third(y, residual=x)


@pytest.fixture
def calls(monkeypatch):
    """The passes that the CPU's kernels compute."""
    found = []
    (cpu,) = (backend for backend in BACKENDS if backend.dispatch_key == "CPU")
    for name in ("forward", "backward"):
        compute = getattr(cpu, name)

        def noted(*arguments, name=name, compute=compute):
            found.append(name)
            return compute(*arguments)

        monkeypatch.setattr(cpu, name, noted)
    return found


def step(call, model, x):
    x = x.detach().requires_grad_()
    y = call(x)
    y.square().sum().backward()
    return [y, x.grad, *(parameter.grad for parameter in model.parameters()), *model.buffers()]


@needs_compiler
@pytest.mark.parametrize("dynamic", [False, True])
def test_inductor_compiles_the_formulas(dynamic, calls):
    memory_format = torch.contiguous_format if dynamic else torch.channels_last
    eager = Net().to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
    compiled = copy.deepcopy(eager)
    x = torch.randn(4, 6, 9, 7).contiguous(memory_format=memory_format)
    call = torch.compile(compiled, fullgraph=True, dynamic=dynamic)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda kept: kept
    ):
        found = step(call, compiled, x)
    # Of sizes that are not known, it sees none where its long sums lose digits (torch 2.8).
    seen = not dynamic or decomposition._sums_are_cascaded()
    assert (calls == []) is seen
    assert torch.bool not in {tensor.dtype for tensor in kept}
    torch.testing.assert_close(found, step(eager, eager, x), rtol=1e-4, atol=1e-4)
    if dynamic:
        x, calls[:] = torch.randn(7, 6, 5, 6), []
        for model in (compiled, eager):
            model.zero_grad()
        found = step(call, compiled, x)
        assert (calls == []) is seen
        torch.testing.assert_close(found, step(eager, eager, x), rtol=1e-4, atol=1e-4)
    # Only Inductor sees them.
    calls.clear()
    torch._dynamo.reset()
    step(torch.compile(copy.deepcopy(eager), backend="aot_eager", fullgraph=True), eager, x)
    assert calls == ["forward"] * 3 + ["backward"] * 3


def test_long_sums_stay_the_kernels_where_inductors_lose_digits(monkeypatch):
    monkeypatch.setattr(decomposition, "_sums_are_cascaded", lambda: False)
    few, many = torch.randn(64, 2), torch.randn(2**17, 2)
    assert decomposition.forward(few, None, None, None, None, 1e-5, None) is not NotImplemented
    assert decomposition.forward(many, None, None, None, None, 1e-5, None) is NotImplemented


def test_what_another_thread_has_registered_is_left_alone(monkeypatch):
    registered = []

    class Waiting(dict):
        def pop(self, name, default=None):
            super().pop(name)
            return default

    monkeypatch.setattr(registration, "_waiting", Waiting({"sys": registered.append}))
    registration.register_once()
    assert registered == []
