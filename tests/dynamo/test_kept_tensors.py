"""Models that overwrite, behind batch normalization, what torch does not need for the backward pass."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.debugging import aot_eager
from torch.nn import functional as F

from normwise.dynamo import backend
from tests.support.kernels.compiled import compiled

pytestmark = pytest.mark.usefixtures("kernels", "compiler_caches_cleared")

GENERATOR = torch.Generator().manual_seed(0)
X, R = torch.randn(2, 4, 3, 5, 5, generator=GENERATOR)
WEIGHT, BIAS = torch.randn(2, 3, generator=GENERATOR)


def _normalised(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return F.batch_norm(x, None, None, weight, bias, training=True)


def _addend(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = F.silu(_normalised(x, weight, bias) + r)
    r.add_(1)
    return y * r


def _addend_through_a_view(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = F.silu(_normalised(x, weight, bias) + r)
    r.detach().flatten()[::2].zero_()
    return y


def _addend_of_relu(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = F.relu(_normalised(x, weight, bias) + r)
    r.add_(1)
    return y * r


def _bias(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = F.relu(_normalised(x, weight, bias))
    bias.mul_(2)
    return y * bias.view(-1, 1, 1)


def _bias_and_sum(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = _normalised(x, weight, bias) + r
    bias.mul_(2)
    return y * bias.view(-1, 1, 1)


def _constant_input(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    z = x.detach()
    y = F.relu(_normalised(z, None, None) + r)
    z.mul_(2)
    return y


def _constant_weight(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    z = weight.detach()
    y = _normalised(x.detach(), z, None) + r
    z.mul_(2)
    return y


def _without_gradient(x: Tensor, r: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = F.silu(_normalised(x.detach(), weight.detach(), bias.detach()) + r.detach())
    r.mul_(2)
    return y * r


CASES = [
    (_addend, [(None, True)]),
    (_addend_through_a_view, [(None, True)]),
    (_addend_of_relu, [("relu", True)]),
    (_bias, []),
    (_bias_and_sum, []),
    (_constant_input, [(None, False)]),
    (_constant_weight, [(None, False)]),
    (_without_gradient, [("silu", True)]),
]


def _call(function: Callable[..., Tensor], *leaves: Tensor) -> Tensor:
    """Return the function of tensors that may be overwritten, which leaves may not."""
    return function(*(leaf * 1 for leaf in leaves))


def _results(function: Callable[..., Tensor], call: Callable[..., Tensor]) -> list[Tensor | None]:
    """Return the output and all gradients."""
    leaves = [tensor.clone().requires_grad_() for tensor in (X, R, WEIGHT, BIAS)]
    y = call(function, *leaves)
    (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
    return [y.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize(("function", "expected"), CASES)
def test_a_backward_pass_that_torch_can_do_is_done(function: Any, expected: Any) -> None:
    run, found = compiled(_call)
    wanted = _results(function, _call)
    torch.testing.assert_close(_results(function, run), wanted, rtol=1e-4, atol=1e-5)
    assert found == expected


@pytest.mark.parametrize("function", [_addend, _bias])
def test_in_a_graph_that_is_traced_for_inductor(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "lookup_backend", lambda _: _trace_only)
    run = torch.compile(_call, backend="normwise")
    torch.testing.assert_close(_results(function, run), _results(function, _call), rtol=1e-4, atol=1e-5)


def _trace_only(graph_module: Any, inputs: Any, **_: Any) -> Any:
    """Trace a graph as Inductor does, and run it without a compiler."""
    return aot_eager(graph_module, inputs)
