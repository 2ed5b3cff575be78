"""A call, compared with the equation in float64, or expected to be refused."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks

from normwise import nn
from tests.kernels.cpu.fuzz.calls import ACTIVATIONS, Call, Tensors
from tests.kernels.cpu.fuzz.layouts import HOOKS

LAYERS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


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
