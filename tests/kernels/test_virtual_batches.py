"""Parts of a batch in one call of the compiled kernels, each normalised by its own statistics."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from normwise import kernels
from normwise.activations import ACTIVATIONS
from normwise.errors import ArgumentError
from normwise.kernels import Call
from normwise.kernels.backward_call import BackwardCall
from normwise.kernels.cpu.backend import CpuBackend
from normwise.kernels.torch_backend import parts
from normwise.kernels.virtual_batches import batch_norm_in_parts, part_sizes
from tests.support.kernels.exactness import INPUTS, batch

pytestmark = pytest.mark.usefixtures("kernels")

EPS = 1e-5
SHAPES = {
    "planes": ((11, 3, 13, 11), torch.contiguous_format),
    "short rows": ((33, 20, 7, 7), torch.contiguous_format),
    "channels last": ((11, 37, 9, 5), torch.channels_last),
    "(N, C)": ((301, 19), torch.contiguous_format),
}


@pytest.fixture
def natively(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be left to torch's operators."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("left to torch's operators")

    monkeypatch.setattr(parts, "batch_norm_in_parts", refuse)


def in_double(*tensors: Tensor | None) -> list[Any]:
    return [None if tensor is None else tensor.detach().double().requires_grad_() for tensor in tensors]


@pytest.mark.usefixtures("natively")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("layout", SHAPES)
def test_a_part_is_computed_as_a_batch_of_its_own(layout: str, kind: str, dtype: torch.dtype) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=0)
    x, grad = INPUTS[kind](x).to(dtype), grad.to(dtype)
    sizes = part_sizes(x.shape, 4)
    assert len(set(sizes)) == 2

    def step(compute: Callable[[Call], Tensor], x: Tensor, grad: Tensor) -> list[Tensor]:
        leaf = x.detach().requires_grad_()
        y = compute(Call(leaf, weight=weight, bias=bias, training=True, activation="silu"))
        return [y.detach(), *torch.autograd.grad(y, leaf, grad)]

    got = step(lambda call: batch_norm_in_parts(call, sizes), x, grad)
    alone = [step(kernels.batch_norm, *both) for both in zip(x.split(sizes), grad.split(sizes), strict=True)]
    expected = [torch.cat(each) for each in zip(*alone, strict=True)]
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("natively")
@pytest.mark.parametrize("kind", ["standard", "mean 1e4", "mean 1e6", "mean -1e6, deviation 100"])
@pytest.mark.parametrize("layout", SHAPES)
def test_running_statistics_are_those_of_the_whole_batch(layout: str, kind: str) -> None:
    x = INPUTS[kind](batch(*SHAPES[layout], seed=1)[0])
    mean, var = torch.zeros(2, x.shape[1]).unbind()
    batch_norm_in_parts(Call(x, mean, var, training=True, momentum=1.0), part_sizes(x.shape, 4))
    values = x.double().movedim(1, 0).flatten(1)
    torch.testing.assert_close(mean, values.mean(1).float(), rtol=2e-7, atol=1e-7)
    torch.testing.assert_close(var, values.var(1).float(), rtol=3e-7, atol=0)


def step(
    call: Call, sizes: Sequence[int], grad: Tensor, change: Callable[[Tensor], Tensor] | None = None
) -> list[Tensor]:
    """Output and gradients of a call; in place its input is the result of an operation."""
    leaves = [t for t in (call.x, call.weight, call.bias, call.residual) if t is not None]
    if call.inplace:
        call.x = call.x.clone(memory_format=torch.preserve_format)
    if change is None:
        y = batch_norm_in_parts(call, sizes)
    else:
        with saved_tensors_hooks(change, lambda tensor: tensor):
            y = batch_norm_in_parts(call, sizes)
    return [y.detach().clone(), *torch.autograd.grad(y, leaves, grad)]


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    n=st.integers(2, 40),
    most=st.integers(1, 17),
    c=st.sampled_from([1, 3, 16, 37]),
    rest=st.lists(st.integers(1, 6), max_size=3),
    channels_last=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    activation=st.sampled_from([None, *ACTIVATIONS]),
    added=st.booleans(),
    masked=st.booleans(),
    inplace=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 2**16),
)
def test_any_parts_are_those_of_torchs_operators(
    n: int,
    most: int,
    c: int,
    rest: list[int],
    channels_last: bool,
    dtype: torch.dtype,
    activation: str | None,
    added: bool,
    masked: bool,
    inplace: bool,
    threads: int,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (n, c, *rest)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d} if channels_last else {}
    order = formats.get(len(shape), torch.contiguous_format)
    x, grad, residual = (
        torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=order) for _ in range(3)
    )
    weight, bias = torch.rand(2, c, generator=generator).add(0.5).unbind()
    sizes = part_sizes(shape, most)
    mask = None
    if masked:
        mask = torch.rand(n, *rest, generator=generator) < 0.7
        mask[: sizes[0]] = False  # a part without a real position
    inplace = inplace and activation in (None, "leaky_relu") and not added
    buffers = [torch.zeros(c), torch.ones(c), torch.tensor(2)]
    wide = [torch.zeros(c).double(), torch.ones(c).double(), torch.tensor(2)]

    def call(tensors: Sequence[Any], mean: Tensor, var: Tensor, counter: Tensor) -> Call:
        given, gamma, beta, other = tensors
        return Call(given, mean, var, gamma, beta, True, None, EPS, activation, other, mask, counter)

    leaves = [
        None if t is None else t.clone(memory_format=torch.preserve_format).requires_grad_()
        for t in (x, weight, bias, residual if added else None)
    ]
    ours = call(leaves, *buffers)
    ours.inplace = inplace
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        got = step(ours, sizes, grad)
    finally:
        torch.set_num_threads(before)
    exact = parts.batch_norm_in_parts(call(in_double(*leaves), *wide), sizes)
    double = call(in_double(*leaves), *[t.clone() for t in wide])
    y = parts.batch_norm_in_parts(double, sizes)
    sources = [t for t in (double.x, double.weight, double.bias, double.residual) if t is not None]
    expected = [exact.detach(), *torch.autograd.grad(y, sources, grad.double())]
    # Small parts have small deviations, by which the gradients are divided.
    largest = 1 + max(float(t.abs().max()) for t in expected)
    terms = [1.0, 1.0, float(grad.double().abs().sum()), float(grad.double().abs().sum()), 1.0]
    for a, b, more in zip(got, expected, terms, strict=False):
        scale = 20 * torch.finfo(dtype).eps * largest * (1 + more)
        torch.testing.assert_close(a.double(), b, rtol=0, atol=scale)
    torch.testing.assert_close(
        [t.double() for t in buffers], [t.double() for t in wide], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("layout", SHAPES)
def test_saved_tensors_may_come_back_in_another_order(layout: str, inplace: bool) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=2)
    sizes = part_sizes(x.shape, 5)

    def turned(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)

    def negated(tensor: Tensor) -> Tensor:
        return torch._neg_view(-tensor)  # pyright: ignore[reportPrivateImportUsage]

    def found(change: Callable[[Tensor], Tensor]) -> list[Tensor]:
        leaves = [
            t.clone(memory_format=torch.preserve_format).requires_grad_() for t in (x, weight.abs() + 1, bias)
        ]
        call = Call(leaves[0], weight=leaves[1], bias=leaves[2], training=True, inplace=inplace)
        return step(call, sizes, grad, change)

    expected = found(lambda tensor: tensor)
    for change in (turned, negated):
        torch.testing.assert_close(found(change), expected, rtol=1e-4, atol=1e-4)


def test_second_derivatives_are_those_of_torchs_operators() -> None:
    x, weight, bias, grad = batch((7, 3, 4, 2), torch.contiguous_format, seed=3)
    sizes = part_sizes(x.shape, 3)

    def second(compute: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
        leaf = x.detach().requires_grad_()
        call = Call(leaf, weight=others[0], bias=others[1], training=True, activation="silu")
        (first,) = torch.autograd.grad(compute(call, sizes), leaf, others[2], create_graph=True)
        return torch.autograd.grad(first.square().sum(), leaf)[0]

    got = second(batch_norm_in_parts, x, weight, bias, grad)
    expected = second(parts.batch_norm_in_parts, *(t.double() for t in (x, weight, bias, grad)))
    torch.testing.assert_close(got.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("natively")
def test_nothing_is_read_that_was_not_written() -> None:
    # torch then fills new memory with NaN.
    x, weight, bias, grad = batch((9, 7, 4, 4), torch.contiguous_format, seed=4)
    leaves = [t.requires_grad_() for t in (x, weight, bias, torch.randn_like(x))]
    mask = torch.rand(9, 4, 4) < 0.5
    mask[:3] = False
    call = Call(x, weight=weight, bias=bias, training=True, activation="gelu", residual=leaves[3], mask=mask)
    torch.use_deterministic_algorithms(True)
    try:
        found = step(call, part_sizes(x.shape, 3), grad)
    finally:
        torch.use_deterministic_algorithms(False)
    for tensor in found:
        assert tensor.isfinite().all()


@pytest.mark.usefixtures("natively")
@pytest.mark.parametrize("layout", SHAPES)
def test_the_same_number_of_threads_gives_the_same_bits(layout: str) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=5)
    order = SHAPES[layout][1]
    x, grad = (t.repeat(4, *[1] * (t.dim() - 1)).contiguous(memory_format=order) for t in (x, grad))
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        try:
            call = Call(leaves[0], weight=leaves[1], bias=leaves[2], training=True)
            found.append(step(call, part_sizes(x.shape, 30), grad))
        finally:
            torch.set_num_threads(before)
    torch.testing.assert_close(found[1], found[2], rtol=0, atol=0)
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-4)


def test_numbers_that_do_not_fit_are_refused_before_memory_is_touched() -> None:
    backend = CpuBackend()
    call = Call(torch.randn(4, 3), training=True, parts=5)
    assert backend.covers(call)
    with pytest.raises(ValueError, match="a part of a batch has 1 sample or more"):
        backend.forward(call)
    evaluated = Call(torch.randn(4, 3), torch.zeros(3), torch.ones(3), parts=2)
    assert backend.covers(evaluated)
    with pytest.raises(ValueError, match="only training has parts"):
        backend.forward(evaluated)
    call.parts = 2
    _, saved = backend.forward(call)
    assert len(saved) == 2 * 2 * 3 * 8
    backward = BackwardCall(call.x, None, None, saved, None, torch.randn(4, 3), None, parts=1)
    assert backend.covers_backward(backward)
    with pytest.raises(ValueError, match="the saved statistics are of another size"):
        backend.backward(backward)
    backward.parts = 2
    with pytest.raises(ValueError, match="takes the batch as a whole"):
        backend.moments_gradient(backward)
    with pytest.raises(ValueError, match="takes the batch as a whole"):
        backend.batch_moments(call)


def test_freed_memory_is_refused() -> None:
    weight = torch.ones(3)
    weight.untyped_storage().resize_(0)
    with pytest.raises(ArgumentError, match="its storage has 0"):
        batch_norm_in_parts(Call(torch.randn(4, 3), weight=weight, training=True), (2, 2))
