"""Calls of batch normalization with whatever tensors there can be: right, or refused, and no crash.

Run: python tests/kernels/cpu/fuzz.py CALLS [SEED]

A call that goes wrong in compiled code may end the process, so test_fuzz.py runs this in one of its own, and `make
sanitize` under the address sanitizer. Each call is written to a file first: the last one is the one that crashed.
Results are compared with the equation in float64, computed by torch.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.nn import functional as F

from normwise import nn

#: Elements of a batch, at most.
MOST = 6000
_negated: Any = torch._neg_view  # pyright: ignore[reportPrivateImportUsage]
LAYERS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
SMOOTH = (None, "silu", "tanh", "gelu")
ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}


def in_order(x: Tensor, order: list[int]) -> Tensor:
    """The same values, with the axes in memory in the order given."""
    return x.permute(order).contiguous().permute([order.index(axis) for axis in range(x.dim())])


def at_offset(x: Tensor) -> Tensor:
    """The same values in the midst of a storage, not aligned to anything."""
    base = x.new_full((x.numel() + 7,), 3.0)
    return base[3 : 3 + x.numel()].view(x.shape).copy_(x)


def every_other(x: Tensor) -> Tensor:
    """The same values with others between them."""
    return torch.stack([x, x + 1], -1).flatten(-2)[..., ::2]


def odd_strides(x: Tensor) -> Tensor:
    """Axes of size 1 get a stride that no other axis gives reason for."""
    return x.as_strided(x.shape, [99 if n == 1 else s for n, s in zip(x.shape, x.stride(), strict=True)])


def channels_last(x: Tensor) -> Tensor:
    """Channels last in memory."""
    return in_order(x, [0, *range(2, x.dim()), 1])


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": torch.Tensor.contiguous,
    "channels last": channels_last,
    "reversed": lambda x: in_order(x, list(range(x.dim()))[::-1]),
    "at an offset": at_offset,
    "channels last at an offset": lambda x: channels_last(torch.cat([x, x]))[x.shape[0] :],
    "every other": every_other,
    "expanded": lambda x: x[:, :1].expand_as(x),
    "odd strides": lambda x: odd_strides(x.contiguous()),
    "odd strides, channels last": lambda x: odd_strides(channels_last(x)),
    "negated": lambda x: _negated(-x),
}
VECTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": torch.Tensor.contiguous,
    "at an offset": at_offset,
    "every other": every_other,
    "expanded": lambda x: x[:1].expand_as(x),
    "negated": lambda x: _negated(-x),
    "one more": lambda x: torch.cat([x, x[:1]]),
    "one less": lambda x: x[:-1].clone(),
    "twice": lambda x: torch.cat([x, x]),
    "single": lambda x: x.new_ones(1),
    "two axes": lambda x: x[None].clone(),
    "freed": lambda x: x.clone(),
}
#: What a hook keeps of a saved tensor, and whether the backward pass then has to be refused.
HOOKS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "contiguous": (torch.Tensor.contiguous, False),
    "reversed": (lambda t: in_order(t, list(range(t.dim()))[::-1]), False),
    "every other": (lambda t: t if t.dtype is torch.bool else every_other(t), False),
    "negated": (lambda t: _negated(-t) if t.is_floating_point() else t, False),
    "another type": (lambda t: t.to(torch.complex64), True),
    "cropped": (lambda t: t[:-1], True),
}


@dataclass(frozen=True)
class Call:
    """One call, of which the tensors are made from a seed."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    x: str
    weight: str | None
    bias: str | None
    running: tuple[str, str] | None
    residual: str | None
    mask: str | None
    gradient: str
    activation: str | None
    training: bool
    momentum: float | None
    mean: float
    mode: str
    hook: str | None
    backward: str
    transform: str | None
    freed: bool
    seed: int


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Plain calls with a few things out of the ordinary each: with many, all would be refused for the same reason."""
    odd = draw(st.sets(st.sampled_from(list(Call.__dataclass_fields__)), max_size=4))

    def maybe(name: str, ordinary: Any, others: Any) -> Any:
        return draw(st.sampled_from(list(others))) if name in odd else draw(st.sampled_from(list(ordinary)))

    dims = draw(st.integers(2, 5))
    n, c = draw(st.integers(2, 9)), draw(st.sampled_from([1, 2, 3, 7, 8, 16, 17, 33, 64, 130]))
    spatial = [draw(st.sampled_from([1, 2, 3, 5, 8, 17])) for _ in range(dims - 2)]
    while n * c * torch.Size(spatial).numel() > MOST:
        spatial = [max(1, size // 2) for size in spatial]
    # What torch itself does with freed memory under a transform is to crash.
    freed = "freed" in odd and draw(st.booleans())
    vectors = [name for name in VECTORS if name != "freed" or "transform" not in odd]
    dtype = maybe("dtype", [torch.float32], [torch.bfloat16, torch.float64, torch.float16])
    covered = dtype in (torch.float32, torch.bfloat16)
    running = maybe("running", [None, ("plain", "plain")], [(a, b) for a in vectors for b in ("plain", a)])
    training = running is None or draw(st.booleans())
    transform = maybe("transform", [None], [None] if freed else ["vmap", "grad", "jvp", "functionalize"])
    if transform is not None and training:
        # torch moves no statistics there that were not given as an argument.
        running = None
    return Call(
        (n, c, *spatial),
        dtype,
        maybe("x", ["contiguous", "channels last"], LAYOUTS),
        maybe("weight", [None, "plain"], vectors),
        maybe("bias", [None, "plain"], vectors),
        running,
        maybe("residual", [None], [*LAYOUTS, "x"]),
        maybe("mask", [None], ["plain", "bytes", "every other"]),
        maybe("gradient", ["contiguous", "channels last"], LAYOUTS),
        maybe("activation", [None, "silu"], ACTIVATIONS if covered else SMOOTH),
        training,
        maybe("momentum", [0.1], [-0.3, 0.0, 1.0, None]),
        maybe("mean", [0.0], [1e3, -1e4] if training and dtype is torch.float32 else [1.0]),
        maybe(
            "mode", ["grad"], ["no_grad", "inference", "in place", "in place, no_grad", "in place, a leaf"]
        ),
        maybe("hook", [None], [*HOOKS, "save_on_cpu"]),
        maybe("backward", ["once"], ["batched", "twice"] if training else ["batched"]),
        transform,
        freed,
        draw(st.integers(0, 2**20)),
    )


class Tensors:
    """The tensors of a call."""

    def __init__(self, call: Call) -> None:
        generator = torch.Generator().manual_seed(call.seed)

        def random(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        shape, c = call.shape, call.shape[1]
        parameters = torch.float64 if call.dtype is torch.float64 else torch.float32
        if call.dtype is torch.float16:
            parameters = call.dtype
        self.x = LAYOUTS[call.x]((random(*shape) * 2 + call.mean).to(call.dtype))
        self.gradient = LAYOUTS[call.gradient](random(*shape).to(call.dtype))
        self.weight = self.vector(call.weight, (random(c).abs() + 0.5).to(parameters))
        self.bias = self.vector(call.bias, (random(c) * 0.1).to(parameters))
        values = (random(c) + call.mean).to(parameters), (random(c).abs() + 1.0).to(parameters)
        names = call.running or (None, None)
        self.mean, self.var = (self.vector(name, v) for name, v in zip(names, values, strict=True))
        self.residual = None
        if call.residual is not None:
            same = call.residual == "x"
            self.residual = self.x if same else LAYOUTS[call.residual](random(*shape).to(call.dtype))
        self.mask = None
        if call.mask is not None:
            bytes_ = torch.randint(0, 3, (shape[0], *shape[2:]), generator=generator, dtype=torch.uint8)
            bytes_[:2] = 1
            mask = bytes_.view(torch.bool) if call.mask == "bytes" else bytes_ > 0
            self.mask = every_other(bytes_) > 0 if call.mask == "every other" else mask
        if call.freed:
            (self.residual if self.residual is not None else self.x).untyped_storage().resize_(0)

    @staticmethod
    def vector(name: str | None, values: Tensor) -> Tensor | None:
        """One value per channel; freed once it is made."""
        if name is None:
            return None
        vector = VECTORS[name](values)
        if name == "freed":
            vector.untyped_storage().resize_(0)
        return vector

    def all(self) -> list[Tensor | None]:
        """Those that a size can be wrong of."""
        return [self.weight, self.bias, self.mean, self.var]


def equation(call: Call, x: Tensor, weight: Any, bias: Any, residual: Any, t: Tensors) -> Tensor:
    """The output in float64."""
    axes, column = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
    real = torch.ones_like(x[:, :1], dtype=torch.bool) if t.mask is None else (t.mask.clone() != 0)[:, None]
    count = real.sum()
    if call.training:
        mean = torch.where(real, x, 0).sum(axes, keepdim=True) / count
        var = torch.where(real, x - mean, 0).square().sum(axes, keepdim=True) / count
    else:
        assert t.mean is not None
        assert t.var is not None
        mean, var = t.mean.double().view(column), t.var.double().view(column)
    y = (x - mean) / (var + 0.01).sqrt()
    y = y if weight is None else y * weight.view(column)
    y = y if bias is None else y + bias.view(column)
    return torch.where(real, ACTIVATIONS[call.activation](y if residual is None else y + residual), 0)


def refused(call: Call, t: Tensors) -> bool:
    """Return whether the call has to be refused, at the latest in the backward pass."""
    sizes = any(tensor is not None and tensor.shape != (call.shape[1],) for tensor in t.all())
    freed = call.freed or "freed" in (call.weight, call.bias, *(call.running or ()))
    one_value = call.training and t.mask is None and t.x.numel() == call.shape[1]
    hooked = call.hook in HOOKS and HOOKS[call.hook][1] and call.mode in ("grad", "in place")
    in_place = call.mode.startswith("in place") and (
        call.residual is not None
        or call.activation not in (None, "leaky_relu")
        or (call.backward == "twice" and call.mode == "in place")
    )
    return sizes or freed or one_value or (hooked and call.transform is None) or in_place


def close(got: Tensor, expected: Tensor, dtype: torch.dtype, terms: float) -> None:
    """Raise AssertionError unless they differ by rounding: some units of the largest of what was added up."""
    largest = max(1.0, float(expected.abs().max()) if expected.numel() else 0.0, terms)
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=60 * torch.finfo(dtype).eps * largest)


def run(call: Call, t: Tensors) -> None:
    """Call it, and compare what comes out."""
    differentiates = call.mode in ("grad", "in place", "in place, a leaf") and call.transform is None
    names = ("x", "weight", "bias", "residual")
    leaves = [
        None if (v := getattr(t, name)) is None else v.detach().requires_grad_(differentiates)
        for name in names
    ]
    if call.residual == "x":
        leaves[3] = leaves[0]
    x, weight, bias, residual = leaves
    assert x is not None
    in_place = call.mode.startswith("in place")

    def forward(x: Tensor) -> Tensor:
        x = x.clone() if in_place and call.mode != "in place, a leaf" and not call.freed else x
        layer = LAYERS[x.dim()](
            call.shape[1],
            0.01,
            call.momentum,
            track_running_stats=call.running is not None,
            activation=call.activation,
            inplace=in_place,
        ).train(call.training)
        parameters: dict[str, Any] = layer._parameters
        parameters.update(weight=weight, bias=bias)
        layer._buffers.update(running_mean=t.mean, running_var=t.var)
        y = layer(x, residual=residual, mask=t.mask)
        if call.running is not None and call.training:
            assert layer.num_batches_tracked == 1
        return y

    before = [
        None if v is None or call.freed or v.untyped_storage().nbytes() == 0 else v.clone()
        for v in (t.mean, t.var)
    ]
    hooks: Any = nullcontext()
    if call.hook == "save_on_cpu":
        hooks = save_on_cpu()
    elif call.hook is not None:
        change = HOOKS[call.hook][0]
        hooks = saved_tensors_hooks(
            lambda tensor: change(tensor) if tensor.dim() else tensor, lambda tensor: tensor
        )
    grad_mode: Any = {
        "no_grad": torch.no_grad,
        "in place, no_grad": torch.no_grad,
        "inference": torch.inference_mode,
    }
    if call.transform is not None:
        transformed(call, forward, x, t)
        return
    with grad_mode.get(call.mode, nullcontext)(), hooks:
        y = forward(x)
    wide: list[Any] = [None if leaf is None else leaf.detach().double().requires_grad_() for leaf in leaves]
    if call.residual == "x":
        wide[3] = wide[0]
    copied = Tensors(call)
    expected = equation(call, wide[0], wide[1], wide[2], wide[3], copied)
    inverse = 1.0 if call.training else 1.0 + abs(call.mean)
    close(y.detach(), expected.detach(), call.dtype, inverse)
    check_statistics(call, t, before)
    if not differentiates:
        return
    sources = [(a, b) for a, b in zip(leaves, wide, strict=True) if a is not None and b is not None]
    if call.residual == "x":
        sources = sources[:-1]
    got_of, expected_of = zip(*sources, strict=True)
    if call.backward == "batched":
        pair = torch.stack([t.gradient, t.gradient * 2])
        got = [g[1] for g in torch.autograd.grad(y, got_of, pair, is_grads_batched=True)]
        wanted = torch.autograd.grad(expected, expected_of, t.gradient.double() * 2)
    elif call.backward == "twice":
        got, wanted = (
            torch.autograd.grad(
                torch.stack(
                    [g.square().sum() for g in torch.autograd.grad(out, of, grad, create_graph=True)]
                ).sum(),
                of[0],
            )
            for out, of, grad in ((y, got_of, t.gradient), (expected, expected_of, t.gradient.double()))
        )
    else:
        got = torch.autograd.grad(y, got_of, t.gradient)
        wanted = torch.autograd.grad(expected, expected_of, t.gradient.double())
    terms = 10.0 * inverse * float(t.gradient.double().abs().sum())
    terms *= 1e3 if call.backward == "twice" else 1.0
    for actual, exact in zip(got, wanted, strict=True):
        close(actual, exact, call.dtype, terms)


def check_statistics(call: Call, t: Tensors, before: list[Tensor | None]) -> None:
    """Compare the running statistics with what they should have moved to."""
    wanted = [v.double() for v in before if v is not None]
    if t.mean is None or t.var is None or len(wanted) < 2:
        return
    if call.training:
        fresh = Tensors(call).x.double().movedim(1, 0)
        values = fresh.flatten(1) if t.mask is None else fresh[:, t.mask.clone() != 0]
        batch = values.mean(1), values.var(1)
        part = 1.0 if call.momentum is None else call.momentum
        wanted = [(1 - part) * old + part * new for old, new in zip(wanted, batch, strict=True)]
    for got, exact in zip((t.mean, t.var), wanted, strict=True):
        close(got.detach(), exact, call.dtype, abs(call.mean))


def transformed(call: Call, forward: Callable[[Tensor], Tensor], x: Tensor, t: Tensors) -> None:
    """The same under a function transform."""
    weight, bias, residual = (None if v is None else v.double() for v in (t.weight, t.bias, t.residual))
    expected = equation(call, x.double(), weight, bias, residual, t)
    if call.transform == "vmap":
        both = torch.func.vmap(forward)(torch.stack([x, x]))
        close(both[1], expected, call.dtype, 1.0 + abs(call.mean))
    elif call.transform == "functionalize":
        close(torch.func.functionalize(forward)(x), expected, call.dtype, 1.0 + abs(call.mean))
    elif call.transform == "grad":
        torch.func.grad(lambda x: forward(x).sum())(x)
    else:
        # torch itself makes no dual number of a tensor of which several elements are one.
        primal = x.clone() if call.x == "expanded" else x
        torch.func.jvp(forward, (primal,), (torch.ones_like(primal),))


def check(call: Call) -> None:
    """Right, or refused where it has to be."""
    t = Tensors(call)
    if refused(call, t):
        try:
            run(call, t)
        except AssertionError as error:
            raise AssertionError(f"computed what has to be refused: {call}") from error
        except (RuntimeError, ValueError, TypeError):
            return
        raise AssertionError(f"not refused: {call}")
    # What torch's layer refuses, too: a leaf that is overwritten, a second derivative with β and no γ, vmap over a
    # short type with longer statistics; and statistics of which several are one number in memory, which torch leaves in
    # disorder.
    may_refuse = (
        call.mode == "in place, a leaf"
        or (call.backward == "twice" and call.weight is None and call.bias is not None)
        or (call.transform == "vmap" and call.dtype in (torch.bfloat16, torch.float16))
        or (call.running is not None and call.training and "expanded" in call.running)
    )
    try:
        run(call, t)
    except (RuntimeError, ValueError) as error:
        if not may_refuse:
            raise AssertionError(f"refused: {call}") from error


def main(count: int, first: int) -> None:
    """Make so many calls."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    made = 0
    last = Path(tempfile.gettempdir()) / f"normwise-fuzz-{os.getpid()}.txt"
    print(f"the last call is in {last}", flush=True)

    @seed(first)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        print_blob=False,
    )
    @given(calls())
    def calls_are_right_or_refused(call: Call) -> None:
        nonlocal made
        made += 1
        last.write_text(repr(call))
        check(call)

    calls_are_right_or_refused()
    last.unlink()
    print(f"{made} calls")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
