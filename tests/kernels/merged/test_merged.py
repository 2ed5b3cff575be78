"""Calls that are normalised by the moments of a union: equal to one call of the whole batch."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from normwise.activations import ACTIVATIONS as RULES
from normwise.errors import ArgumentError, ShapeError
from normwise.kernels import ACTIVATIONS, Call
from normwise.kernels.cpu.backend import CpuBackend
from normwise.kernels.merged import merged_batch_norm, on_torch
from normwise.kernels.torch_backend.primitives import ChannelMoments
from tests.support.kernels.exactness import INPUTS, assert_no_worse_than_torch, batch
from tests.support.kernels.thread_union import ThreadUnion, cut, in_threads

EPS = 1e-5
SHAPES = {
    "planes": ((8, 3, 13, 11), torch.contiguous_format),
    "short rows": ((33, 20, 7, 7), torch.contiguous_format),
    "channels last": ((8, 37, 9, 5), torch.channels_last),
    "narrow channels last": ((8, 5, 9, 7), torch.channels_last),
    "(N, C)": ((301, 19), torch.contiguous_format),
}
KINDS = ("standard", "mean 1e4", "mean 1e6", "mean -1e6, deviation 100", "outlier first", "large", "constant")


class Alone:
    """A merger with nothing to merge."""

    def moments(self, own: ChannelMoments) -> ChannelMoments:
        return own

    def gradient_sums(self, own: Tensor) -> Tensor:
        return own


@pytest.fixture
def natively(kernels: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be left to torch's operators."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("left to torch's operators")

    monkeypatch.setattr(on_torch, "merged_batch_norm", refuse)


def in_parts(sizes: Sequence[int], activation: str | None) -> Callable[..., Tensor]:
    """The whole batch as a union of parts, with gradients as DDP would add them up."""

    class Whole(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            ctx.given = [
                (values, weight.detach().requires_grad_(), bias.detach().requires_grad_())
                for values in cut(x, sizes)
            ]
            ctx.statistics = mean, var

            def work(part: int, union: ThreadUnion) -> Tensor:
                running = (mean, var) if part == 0 else (mean.clone(), var.clone())
                values, gamma, beta = ctx.given[part]
                with torch.enable_grad():
                    call = Call(
                        values, *running, gamma, beta, training=True, momentum=1.0, activation=activation
                    )
                    return merged_batch_norm(call, union)

            ctx.outputs, ctx.union = in_threads(work, len(sizes))
            return torch.cat([y.detach() for y in ctx.outputs])

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            grads = [part.detach() for part in cut(grad, sizes)]

            def work(part: int, _: ThreadUnion) -> Any:
                return torch.autograd.grad(ctx.outputs[part], ctx.given[part], grads[part])

            found, _ = in_threads(work, len(sizes))
            x, weight, bias = zip(*found, strict=True)
            total = [torch.stack(g).double().sum(0).float() for g in (weight, bias)]
            return torch.cat(x), None, None, *total

    return Whole.apply


@pytest.mark.usefixtures("natively")
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("layout", SHAPES)
def test_a_union_of_one_is_as_exact_as_torch(layout: str, kind: str) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=0)

    def alone(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return merged_batch_norm(Call(x, mean, var, weight, bias, training=True, momentum=1.0), Alone())

    assert_no_worse_than_torch(alone, INPUTS[kind](x), weight, bias, grad, None)


@pytest.mark.usefixtures("natively")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", SHAPES)
def test_a_union_of_unequal_parts_is_as_exact_as_torch(layout: str, kind: str) -> None:
    x, weight, bias, grad = batch(*SHAPES[layout], seed=0)
    sizes = (1, len(x) // 2, len(x) - len(x) // 2 - 1)
    # Each part rounds its parameters' gradients, so that a digit is lost where they cancel.
    compared = ("output", "grad x", "mean", "variance")
    function = in_parts(sizes, "relu")
    assert_no_worse_than_torch(function, INPUTS[kind](x), weight, bias, grad, "relu", compared=compared)


def oracle(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    mask: Tensor | None,
    activation: str | None,
) -> Tensor:
    """The equation."""
    axes, column = (0, *range(2, x.dim())), (1, -1, *([1] * (x.dim() - 2)))
    real = torch.ones_like(x[:, :1], dtype=torch.bool) if mask is None else mask[:, None]
    count = real.sum().clamp(min=1) if mask is not None else max(1, x.numel() // x.shape[1])
    mean = torch.where(real, x, 0).sum(axes, keepdim=True) / count
    deviations = torch.where(real, x - mean, 0)
    y = deviations / (deviations.square().sum(axes, keepdim=True) / count + EPS).sqrt()
    y = y * weight.view(column) + bias.view(column)
    y = y if residual is None else y + residual
    return torch.where(real, y if activation is None else ACTIVATIONS[activation](y), 0)


@pytest.mark.usefixtures("kernels")
@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 17]), min_size=2, max_size=3).filter(
        lambda sizes: sum(sizes) > 1
    ),
    c=st.sampled_from([1, 3, 16, 37]),
    rest=st.lists(st.integers(1, 6), max_size=3),
    channels_last=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    activation=st.sampled_from([None, *RULES]),
    added=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_parts_are_normalised_as_the_whole(
    sizes: list[int],
    c: int,
    rest: list[int],
    channels_last: bool,
    dtype: torch.dtype,
    activation: str | None,
    added: bool,
    masked: bool,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d} if channels_last else {}
    shape = (sum(sizes), c, *rest)
    order = formats.get(len(shape), torch.contiguous_format)

    def random(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    x, grad, residual = (random(*shape).to(dtype).contiguous(memory_format=order) for _ in range(3))
    weight, bias = random(c), random(c)
    mask = torch.rand(shape[0], *rest, generator=generator) < 0.7 if masked else None
    whole = [t.double().requires_grad_() for t in (x, weight, bias, residual)]
    x64, weight64, bias64, residual64 = whole
    expected = oracle(x64, weight64, bias64, residual64 if added else None, mask, activation)
    wanted = torch.autograd.grad(expected, whole[: 4 if added else 3], grad.double())
    parts = [cut(t, sizes) for t in (x, residual, grad)]
    masks = [None] * len(sizes) if mask is None else cut(mask, sizes)
    running = [(torch.zeros(c), torch.ones(c), torch.tensor(0)) for _ in sizes]

    def work(part: int, union: ThreadUnion) -> Any:
        values, added_here, grad_here = (p[part] for p in parts)
        gamma, beta = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        mean, var, counter = running[part]
        call = Call(
            values,
            mean,
            var,
            gamma,
            beta,
            True,
            0.5,
            EPS,
            activation,
            added_here if added else None,
            masks[part],
            counter,
        )
        y = merged_batch_norm(call, union)
        leaves = [values, gamma, beta, added_here] if added else [values, gamma, beta]
        return y.detach(), *torch.autograd.grad(y, leaves, grad_here)

    results, union = in_threads(work, len(sizes))
    assert union.meetings == ["moments", "gradients"]
    y, grad_x, grad_weight, grad_bias, *others = zip(*results, strict=True)
    eps = torch.finfo(dtype).eps

    def close(got: Tensor, exact: Tensor, terms: float = 1.0) -> None:
        largest = max(1.0, float(exact.abs().max())) * terms
        torch.testing.assert_close(got.double(), exact, rtol=0, atol=20 * eps * largest)

    close(torch.cat(y), expected.detach())
    inverse = float(expected.detach().abs().max()) + 1
    close(torch.cat(grad_x), wanted[0], 30 * inverse)
    terms = float(grad.double().abs().sum()) + 1
    close(torch.stack(grad_weight).double().sum(0), wanted[1], terms)
    close(torch.stack(grad_bias).double().sum(0), wanted[2], terms)
    if added:
        close(torch.cat(others[0]), wanted[3])
    for other in running[1:]:
        torch.testing.assert_close(other, running[0], rtol=1e-6, atol=1e-7)
    values = x.double().movedim(1, 0)
    values = values.flatten(1) if mask is None else values[:, mask]
    if values.shape[1] > 1:
        moved = values.mean(1) / 2, (values.var(1) + 1) / 2
        torch.testing.assert_close([t.double() for t in running[0][:2]], list(moved), rtol=1e-5, atol=1e-6)
    assert running[0][2] == (values.shape[1] > 1)


@pytest.mark.usefixtures("natively")
def test_parameters_have_the_gradients_of_their_own_samples() -> None:
    x, weight, bias, grad = batch((6, 4, 3, 3), torch.contiguous_format, seed=3)
    parts, grads = cut(x, (2, 4)), cut(grad, (2, 4))

    def work(part: int, union: ThreadUnion) -> Any:
        beta = bias.clone().requires_grad_()
        y = merged_batch_norm(Call(parts[part], weight=weight, bias=beta, training=True), union)
        return torch.autograd.grad(y, beta, grads[part].detach())[0]

    found, _ = in_threads(work, 2)
    for own, expected in zip(found, grads, strict=True):
        torch.testing.assert_close(own, expected.detach().sum((0, 2, 3)))


@pytest.mark.usefixtures("natively")
def test_an_input_without_a_gradient_asks_the_others_for_nothing() -> None:
    x, weight, bias, grad = batch((6, 4, 3, 3), torch.contiguous_format, seed=3)
    residual, mask = torch.randn_like(x).requires_grad_(), torch.rand(6, 3, 3) < 0.5

    def work(_: int, union: ThreadUnion) -> Any:
        call = Call(x, weight=weight.requires_grad_(), bias=bias, training=True, activation="silu")
        call.residual, call.mask = residual, mask
        return torch.autograd.grad(merged_batch_norm(call, union), [weight, residual], grad)

    ((_, grad_residual),), union = in_threads(work, 1)
    assert union.meetings == ["moments"]
    assert not grad_residual[~mask[:, None].expand_as(x)].any()
    assert grad_residual[mask[:, None].expand_as(x)].all()


def test_nothing_is_read_that_was_not_written(kernels: None) -> None:
    # torch then fills new memory with NaN.
    x, weight, bias, grad = batch((5, 7, 4, 4), torch.contiguous_format, seed=4)
    residual, mask = torch.randn_like(x).requires_grad_(), torch.rand(5, 4, 4) < 0.5
    call = Call(
        x.requires_grad_(), weight=weight.requires_grad_(), bias=bias, training=True, activation="gelu"
    )
    call.residual, call.mask = residual, mask
    torch.use_deterministic_algorithms(True)
    try:
        y = merged_batch_norm(call, Alone())
        found = [y, *torch.autograd.grad(y, [x, weight, residual], grad)]
    finally:
        torch.use_deterministic_algorithms(False)
    for tensor in found:
        assert tensor.isfinite().all()


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
@pytest.mark.parametrize("added", [False, True])
def test_saved_tensors_may_come_back_in_another_order(activation: str | None, added: bool) -> None:
    x, weight, bias, grad = batch((6, 4, 3, 5), torch.contiguous_format, seed=5)
    residual = torch.randn_like(x)

    def gradients(change: Callable[[Tensor], Tensor]) -> Any:
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias, residual)]
        call = Call(leaves[0], weight=leaves[1], bias=leaves[2], training=True, activation=activation)
        call.residual = leaves[3] if added else None
        with saved_tensors_hooks(change, lambda tensor: tensor):
            y = merged_batch_norm(call, Alone())
        return torch.autograd.grad(y, leaves[: 4 if added else 3], grad)

    def turned(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)

    def negated(tensor: Tensor) -> Tensor:
        return torch._neg_view(-tensor)  # pyright: ignore[reportPrivateImportUsage]

    expected = gradients(lambda tensor: tensor)
    for change in (turned, negated):
        torch.testing.assert_close(gradients(change), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("kernels")
def test_second_derivatives_are_those_of_the_whole() -> None:
    x, weight, bias, grad = batch((6, 4, 3, 5), torch.contiguous_format, seed=6)

    def second(y: Tensor, x: Tensor, grad: Tensor) -> Tensor:
        (first,) = torch.autograd.grad(y, x, grad, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    parts, grads = cut(x, (2, 4)), cut(grad, (2, 4))

    def work(part: int, union: ThreadUnion) -> Tensor:
        call = Call(parts[part], weight=weight, bias=bias, training=True, activation="silu")
        return second(merged_batch_norm(call, union), parts[part], grads[part].detach())

    found, union = in_threads(work, 2)
    assert union.meetings[0] == "moments"
    assert set(union.meetings[1:]) == {"gradients"}
    whole = x.double().requires_grad_()
    y = oracle(whole, weight.double(), bias.double(), None, None, "silu")
    expected = second(y, whole, grad.double())
    torch.testing.assert_close(torch.cat(found).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("natively")
def test_one_value_in_the_union_is_an_error_and_two_are_none() -> None:
    def work(_: int, union: ThreadUnion) -> Tensor:
        return merged_batch_norm(Call(torch.randn(1, 3), training=True), union)

    with pytest.raises(ShapeError, match="expected more than 1 value per channel"):
        in_threads(work, 1)
    (one, other), _ = in_threads(work, 2)
    torch.testing.assert_close(one, -other, rtol=0, atol=1e-3)


@pytest.mark.usefixtures("natively")
def test_statistics_of_another_type_are_moved_as_well() -> None:
    x = torch.randn(8, 3, 5).bfloat16()
    mean, var = torch.zeros(3).bfloat16(), torch.ones(3).bfloat16()
    merged_batch_norm(Call(x, mean, var, training=True, momentum=1.0), Alone())
    torch.testing.assert_close(mean.float(), x.float().mean((0, 2)), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(var.float(), x.float().var((0, 2)), rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    "wrong",
    [lambda t: t[:-1], lambda t: t.float(), lambda t: torch.cat([t, t])],
    ids=["fewer channels", "float32", "more channels"],
)
def test_moments_and_gradients_of_another_shape_or_type_are_refused(
    wrong: Callable[[Tensor], Tensor],
) -> None:
    x = torch.randn(8, 3, 5, requires_grad=True)

    class WrongMoments(Alone):
        def moments(self, own: ChannelMoments) -> ChannelMoments:
            return ChannelMoments(own.count, wrong(own.mean), wrong(own.variance))

    class WrongGradients(Alone):
        def gradient_sums(self, own: Tensor) -> Tensor:
            return wrong(own.t()).t()

    with pytest.raises(ArgumentError, match=r"expected moments in float64, of the shape \(2, 3\)"):
        merged_batch_norm(Call(x, training=True), WrongMoments())
    y = merged_batch_norm(Call(x, training=True), WrongGradients())
    with pytest.raises(
        ArgumentError, match=r"expected gradients of moments in float64, of the shape \(2, 3\)"
    ):
        y.sum().backward()


@pytest.mark.usefixtures("kernels")
def test_freed_memory_is_refused() -> None:
    weight = torch.ones(3)
    weight.untyped_storage().resize_(0)
    with pytest.raises(ArgumentError, match="its storage has 0"):
        merged_batch_norm(Call(torch.randn(4, 3), weight=weight, training=True), Alone())


def test_the_backend_declines_what_it_does_not_cover(kernels: None) -> None:
    x = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    assert not CpuBackend().covers(Call(x, training=True))
    torch.autograd.gradcheck(lambda x: merged_batch_norm(Call(x, training=True), Alone()), x)
