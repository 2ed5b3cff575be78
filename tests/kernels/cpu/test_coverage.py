"""Tensors that are not what they seem: left to torch, or the call is refused before anything moves."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks

from normwise import nn
from normwise.activations import ACTIVATIONS
from normwise.errors import ArgumentError, AutogradError
from normwise.kernels import Call
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.coverage import Coverage
from normwise.kernels.cpu import backend, library
from normwise.kernels.cpu.backend import CpuBackend
from normwise.statistics import Moments
from tests.support.kernels.implementations import each_type

# Functions of torch without a public name.
NEGATED: Any = torch._neg_view  # pyright: ignore[reportPrivateImportUsage]
ZEROS: Any = torch._efficientzerotensor  # pyright: ignore[reportPrivateImportUsage]
SHAPE = (8, 16, 6, 5)


def expected_gradients(x, grad, activation=None):
    """Of the input and of γ and β that begin as they do, by torch in float64."""
    layer = torch.nn.BatchNorm2d(x.shape[1], dtype=torch.float64)
    leaf = x.detach().double().contiguous().requires_grad_()
    y = layer(leaf)
    y = torch.relu(y) if activation == "relu" else y
    return torch.autograd.grad(y, [leaf, *layer.parameters()], grad.double().contiguous())


def assert_gradients(got, x, grad, activation=None):
    for actual, exact in zip(got, expected_gradients(x, grad, activation), strict=True):
        torch.testing.assert_close(actual.double(), exact, rtol=0, atol=2e-5 * float(exact.abs().max()))


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("name", ["x", "weight", "running_mean", "residual", "mask", "num_batches_tracked"])
def test_a_tensor_whose_memory_was_freed_is_refused(name):
    layer = nn.BatchNorm2d(16)
    tensors = {
        "x": torch.randn(SHAPE),
        "residual": torch.randn(SHAPE),
        "mask": torch.ones(8, 6, 5, dtype=torch.bool),
    }
    tensors |= {n: t.detach() for n, t in (*layer.named_parameters(), *layer.named_buffers())}
    tensors[name].untyped_storage().resize_(0)
    kept = [v.clone() for n, v in layer.named_buffers() if n != name]
    with pytest.raises(
        ArgumentError, match=r"BatchNorm2d: a tensor of shape .* its storage has 0: it was freed"
    ):
        layer(tensors["x"], residual=tensors["residual"], mask=tensors["mask"])
    assert all(
        torch.equal(a, b)
        for a, b in zip(kept, (v for n, v in layer.named_buffers() if n != name), strict=True)
    )


@pytest.mark.usefixtures("implementation")
def test_a_storage_that_is_shorter_than_its_tensor_is_refused():
    x = torch.randn(SHAPE)
    x.untyped_storage().resize_(4 * (x.numel() - 1))
    with pytest.raises(ArgumentError, match="needs 15360 bytes of memory, and its storage has 15356"):
        nn.BatchNorm2d(16)(x)


@pytest.mark.usefixtures("implementation")
def test_memory_that_is_freed_between_forward_and_backward_is_refused():
    layer, x = nn.BatchNorm2d(16, activation="silu"), torch.randn(SHAPE, requires_grad=True)
    y = layer(x)
    layer.weight.untyped_storage().resize_(0)
    with pytest.raises((ArgumentError, RuntimeError)):
        y.sum().backward()


@pytest.mark.usefixtures("implementation")
def test_tensors_of_zeros_without_memory_are_zeros():
    zeros = ZEROS(SHAPE)
    torch.testing.assert_close(nn.BatchNorm2d(16)(zeros), torch.zeros(SHAPE))


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("which", ["input", "residual", "weight", "running_mean"])
def test_a_lazily_negated_tensor_is_read_as_what_it_stands_for(which):
    def outcome(negate):
        generator = torch.Generator().manual_seed(0)
        x, residual = torch.randn(2, *SHAPE, generator=generator).unbind()
        layer: Any = nn.BatchNorm2d(16)
        with torch.no_grad():
            layer.weight.fill_(3.0)
            layer.running_mean.fill_(2.0)
        if which in ("weight", "running_mean"):
            held = layer._parameters if which == "weight" else layer._buffers
            held[which] = negate(held[which].detach())
        x, residual = (
            negate(x) if which == "input" else x,
            negate(residual) if which == "residual" else residual,
        )
        return layer(x, residual=residual).detach(), layer.running_mean.clone()

    lazily, at_once = outcome(lambda t: NEGATED(-t)), outcome(lambda t: t)
    torch.testing.assert_close(lazily, at_once, rtol=0, atol=1e-5)


def test_a_tensor_of_another_library_is_torchs():
    layer = nn.BatchNorm2d(16).eval()
    y = layer(torch.ones(SHAPE).to_mkldnn())
    torch.testing.assert_close(y.to_dense(), layer(torch.ones(SHAPE)))


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize(
    "hooks",
    [
        lambda: save_on_cpu(pin_memory=False),
        lambda: saved_tensors_hooks(torch.Tensor.contiguous, lambda t: t),
        lambda: saved_tensors_hooks(lambda t: t.numpy().copy(order="C"), torch.from_numpy),
        lambda: saved_tensors_hooks(lambda t: torch.stack([t, t], -1)[..., 0], lambda t: t),
        lambda: saved_tensors_hooks(lambda t: t, lambda t: NEGATED(-t)),
    ],
    ids=["save_on_cpu", "contiguous", "by NumPy", "strided", "negated"],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_right_whatever_order_saved_tensors_come_back_in(hooks, memory_format):
    generator = torch.Generator().manual_seed(0)
    x, grad = (t.contiguous(memory_format=memory_format) for t in torch.randn(2, *SHAPE, generator=generator))
    layer = nn.BatchNorm2d(16, activation="relu")
    leaf = x.clone().requires_grad_()
    with hooks():
        y = layer(leaf)
    assert_gradients(torch.autograd.grad(y, [leaf, *layer.parameters()], grad), x, grad, "relu")


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (torch.Tensor.half, "has the type torch.float16 .* expected torch.float32"),
        (lambda t: t[:-1], r"the saved input has the type torch.float32 and the shape \(7, 16, 6, 5\)"),
    ],
    ids=["another type", "another shape"],
)
def test_saved_tensors_of_another_type_or_shape_are_refused(change, message):
    x = torch.randn(SHAPE, requires_grad=True)
    with saved_tensors_hooks(change, lambda t: t):
        y = nn.BatchNorm2d(16, affine=False, activation="relu")(x)
    with pytest.raises(AutogradError, match=message):
        y.sum().backward()


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("activation", [None, "relu"])
def test_many_gradients_at_once_are_each_by_itself(activation):
    x, grads = torch.randn(SHAPE, requires_grad=True), torch.randn(3, *SHAPE)
    y = nn.BatchNorm2d(16, activation=activation)(x)
    (together,) = torch.autograd.grad(y, x, grads, is_grads_batched=True, retain_graph=True)
    apart = torch.stack([torch.autograd.grad(y, x, grad, retain_graph=True)[0] for grad in grads])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("implementation")
def test_many_gradients_at_once_through_a_layer_in_place():
    x, grads = torch.randn(8, 3, requires_grad=True), torch.randn(3, 8, 3)
    y = nn.BatchNorm1d(3, activation="leaky_relu", inplace=True)(x * 1)
    (together,) = torch.autograd.grad(y, x, grads, is_grads_batched=True, retain_graph=True)
    apart = torch.stack([torch.autograd.grad(y, x, grad, retain_graph=True)[0] for grad in grads])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("implementation")
def test_a_vectorized_jacobian_is_the_one_by_loops():
    layer, x = nn.BatchNorm1d(3), torch.randn(6, 3)

    def jacobian(vectorize):
        return torch.autograd.functional.jacobian(lambda x: layer(x).square().sum(0), x, vectorize=vectorize)

    torch.testing.assert_close(jacobian(True), jacobian(False), rtol=0, atol=1e-5)


# Not ours: what makes a tensor fake asks it for its gradient, and hides the warning in vain.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.usefixtures("implementation")
def test_a_backward_pass_alone_may_be_of_fake_tensors():
    x = torch.randn(SHAPE, requires_grad=True)
    y = nn.BatchNorm2d(16)(x)
    with FakeTensorMode(allow_non_fake_inputs=True):
        (grad,) = torch.autograd.grad(y, x, torch.ones(SHAPE))
    assert grad.shape == x.shape


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("byte", [1, 2, 128, 255])
def test_any_byte_of_a_mask_that_is_not_zero_is_true(byte):
    real = np.random.default_rng(0).random((8, 50)) < 0.7
    mask, bytes_ = torch.from_numpy(real), torch.from_numpy((real * np.uint8(byte)).view(bool))
    x = torch.randn(8, 4, 50)
    torch.testing.assert_close(
        nn.BatchNorm1d(4)(x, mask=bytes_), nn.BatchNorm1d(4)(x, mask=mask), rtol=0, atol=1e-6
    )
    counted, expected = Moments.of(x, bytes_), Moments.of(x, mask)
    assert counted.count == expected.count == int(real.sum())
    torch.testing.assert_close(counted.m2, expected.m2)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("shape", [(4, 8), (64, 8, 32, 32)], ids=str)
def test_a_negative_momentum_is_torchs(shape):
    x = torch.linspace(0, 2, torch.Size(shape).numel()).view(shape)
    name = "BatchNorm2d" if len(shape) == 4 else "BatchNorm1d"
    ours, theirs = (getattr(library, name)(8, momentum=-0.1) for library in (nn, torch.nn))
    for layer in (ours, theirs):
        layer(x)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))


@each_type(torch.float32, torch.float64, torch.float16)
@pytest.mark.usefixtures("implementation")
def test_gradients_do_not_depend_on_the_strides_of_axes_of_size_one(dtype):
    # A line of text of height 1, whose steps a recurrent layer takes first: (N, C, 1, T) to (T, N, C, 1).
    generator = torch.Generator().manual_seed(0)
    x, grad = torch.randn(2, 1, 512, 1, 40, generator=generator).to(dtype).unbind()
    leaf = x.clone().requires_grad_()
    output = nn.BatchNorm2d(512, dtype=dtype)(leaf).permute(3, 0, 1, 2)
    (got,) = torch.autograd.grad(output, leaf, grad.permute(3, 0, 1, 2).contiguous())
    exact = expected_gradients(x, grad)[0]
    assert (got.double() - exact).abs().max() <= 8 * torch.finfo(dtype).eps * exact.abs().max()


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_parameters_and_statistics_may_have_strides(training):
    def outcome(arrange):
        generator = torch.Generator().manual_seed(0)
        x, grad = torch.randn(2, 12, 4, generator=generator).unbind()
        weight, bias, mean, var = (arrange(t) for t in torch.rand(4, 4, generator=generator) + 0.5)
        leaves = [t.detach().requires_grad_() for t in (x, weight, bias)]
        layer = nn.BatchNorm1d(4).train(training)
        layer._parameters.update(weight=leaves[1], bias=leaves[2])  # pyright: ignore[reportArgumentType]
        layer._buffers.update(running_mean=mean, running_var=var)
        y = layer(leaves[0])
        return y.detach(), torch.autograd.grad(y, leaves, grad), mean.clone(), var.clone()

    strided = outcome(lambda t: torch.stack([t, t * 0 + 9], -1).flatten()[::2])
    torch.testing.assert_close(strided, outcome(lambda t: t.clone()), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("kernels")
def test_memory_does_not_grow_with_threads_times_channels():
    code = """if True:
        import resource, torch
        from normwise import nn
        torch.set_num_threads(64)
        layer, x = nn.BatchNorm1d(1_000_000, activation="relu"), torch.randn(2, 1_000_000, requires_grad=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        layer(x).sum().backward()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Kilobytes: the input has 8 MB; 56 bytes of each channel for each of 61 threads would be 3.4 GB.
    assert int(done.stdout) < 250_000


@pytest.mark.usefixtures("kernels")
def test_the_module_itself_refuses_what_it_can_see_is_wrong():
    x, parameter = torch.randn(4, 3), torch.randn(3)
    for shape, values in (
        ((4, 3, 1, True), torch.empty(0)),
        ((0, 3, 1, True), x),
        ((1 << 40,) * 3 + (True,), x),
        ((4, 3, 1), x),
    ):
        call = Call(values, training=True, layout=shape)
        with pytest.raises(ValueError, match=r"memory|size|layout"):
            library.loaded().forward(call, False, 1, 0, x, None)
    evaluation = Call(x, training=False, layout=(4, 3, 1, True))
    with pytest.raises(ValueError, match="evaluation needs running statistics"):
        library.loaded().forward(evaluation, False, 1, 0, x, None)
    with pytest.raises(ValueError, match="an unknown activation"):
        library.loaded().forward(Call(x, training=True, layout=(4, 3, 1, True)), False, 1, 99, x, None)
    call = BackwardCall(x, None, None, bytearray(8), None, x, None, layout=(4, 3, 1, True))
    with pytest.raises(ValueError, match="saved statistics are of another size"):
        library.loaded().backward(call, False, 1, 0, x, None, parameter, parameter)


@pytest.mark.usefixtures("kernels")
def test_activations_have_the_numbers_of_the_compiled_module():
    names = library.loaded().activations
    assert names[0] == "none"
    assert {name: number for number, name in enumerate(names[1:], 1)} == {
        name: row.number for name, row in ACTIVATIONS.items()
    }


@pytest.mark.usefixtures("kernels")
def test_an_activation_that_the_kernels_do_not_know_is_torchs(monkeypatch):
    less = Coverage("cpu", {torch.float32: 4}, library.COVERED_ACTIVATIONS - {"silu"})
    monkeypatch.setattr(backend, "_coverage", less)
    x = torch.randn(SHAPE)
    for activation, covered in (("relu", True), ("silu", False)):
        assert CpuBackend().covers(Call(x, training=True, activation=activation)) is covered
    expected = torch.nn.functional.silu(torch.nn.BatchNorm2d(16)(x))
    torch.testing.assert_close(nn.BatchNorm2d(16, activation="silu")(x), expected)
